"""The smallest AI service that chat-orchestrator can work with: ``ai_service.py [PORT]``."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Service(BaseHTTPRequestHandler):
    def do_POST(self):
        turn = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = f"{turn['bot']['name']} has read: {turn['message']}"
        answer = json.dumps({"response_text": text, "model_used": "example"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


port = int(sys.argv[1]) if len(sys.argv) > 1 else 8001
ThreadingHTTPServer(("127.0.0.1", port), Service).serve_forever()
