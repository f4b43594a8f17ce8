"""Ask a Service the golden samples of the package in this image: what `helm test` runs."""

import json
import os
import sys
import time
import urllib.error
import urllib.request

KEYS = "/etc/modelyard/keys"
url, tolerance = sys.argv[1], float(sys.argv[2])
with open("/app/package/golden.json", encoding="utf-8") as file:
    golden = json.load(file)
headers = {"Content-Type": "application/json"}
if os.path.exists(KEYS):
    with open(KEYS, encoding="utf-8") as file:
        lines = [line.strip() for line in file]
    headers["X-API-Key"] = next(key for key in lines if key and not key.startswith("#"))
body = json.dumps({"rows": golden["rows"]}).encode()
for left in reversed(range(10)):
    try:
        request = urllib.request.Request(url + "/v1/predict", body, headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            said = json.load(answer)
        break
    except urllib.error.HTTPError as error:
        sys.exit(f"golden: {url} answered {error.code}: {error.read(500).decode(errors='replace')}")
    except OSError as error:
        # A Service's rules reach the nodes a moment after its pods are ready.
        if not left:
            sys.exit(f"golden: {url} does not answer: {error}")
        time.sleep(1)
# A regression answers with values alone, a classification with its probabilities too.
given = said.get("probabilities") or [[value] for value in said["predictions"]]
allowed = max(tolerance, golden["tolerance"])
for row, (got, wanted) in enumerate(zip(given, golden["scores"], strict=True)):
    far = [abs(g - w) / max(1.0, abs(w)) for g, w in zip(got, wanted, strict=True)]
    if not all(difference <= allowed for difference in far):  # a NaN must fail too
        worst = max(far)
        sys.exit(f"golden: sample {row} differs by {worst:.2g}, allowed is {allowed:.2g}: {got}")
model = said["model"]
print(f"golden: {len(given)} samples as packed, {model['name']} {model['version']}")
