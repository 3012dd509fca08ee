"""Speaks over a WebSocket: sends texts, and prints as JSON what came for each; or the status of who gave none."""

import json
import sys

from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

try:
    with connect(sys.argv[1], proxy=None, max_size=None, open_timeout=20) as socket:
        heard = []
        for text in ["one", "long " * 100_000, "ä€😀", ""]:
            socket.send(text)
            heard.append(socket.recv(timeout=20) == f"web {text}")
        alive = socket.ping().wait(20)
    print(json.dumps({"heard": heard, "alive": alive, "closed": socket.close_code}))
except InvalidStatus as refused:
    print(json.dumps({"status": refused.response.status_code}))
