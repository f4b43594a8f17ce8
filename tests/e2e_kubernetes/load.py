"""A steady, bounded load on a Service from a pod: a line of JSON a second with what came so far.

python3 load.py URL BODY SECONDS: two clients keep their connection, two open one for each request.
Nothing is tried twice: what a client would see as an error is one.
"""

import http.client
import json
import sys
import threading
import time

host, _, port = sys.argv[1].removeprefix("http://").partition(":")
body = sys.argv[2].encode()
ends = time.monotonic() + float(sys.argv[3])
PAUSE = 0.05
lock = threading.Lock()
times, failed, versions = [], [], {}


def client(keep):
    connection = None
    while time.monotonic() < ends:
        began = time.monotonic()
        try:
            if connection is None:
                connection = http.client.HTTPConnection(host, int(port or 80), timeout=20)
            connection.request("POST", "/v1/predict", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            said = response.read()
            if response.status != 200:
                raise OSError(f"status {response.status}: {said[:100]!r}")
            version = json.loads(said)["model"]["version"]
            with lock:
                times.append(time.monotonic() - began)
                versions[version] = versions.get(version, 0) + 1
            if not keep or response.will_close:
                connection.close()
                connection = None
        except Exception as error:
            with lock:
                failed.append(f"{time.time():.2f} {type(error).__name__}: {error}"[:200])
            if connection is not None:
                connection.close()
            connection = None
        time.sleep(PAUSE)


for number in range(4):
    threading.Thread(target=client, args=(number < 2,), daemon=True).start()
while time.monotonic() < ends:
    time.sleep(1)
    with lock:
        ordered = sorted(times[-2000:])
        print(
            json.dumps(
                {
                    "answered": len(times),
                    "failed": len(failed),
                    "last": failed[-3:],
                    "versions": versions,
                    "p50_ms": round(ordered[len(ordered) // 2] * 1000, 1) if ordered else None,
                    "p99_ms": round(ordered[int(len(ordered) * 0.99)] * 1000, 1)
                    if ordered
                    else None,
                }
            ),
            flush=True,
        )
