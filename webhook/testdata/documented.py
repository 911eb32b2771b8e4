# The check that receivers have from the old documentation: it does not sign what came, but
# what it writes after parsing that (webhooks.md, 2.1). Prints its URL.
import hashlib, hmac, json, os
from http.server import BaseHTTPRequestHandler, HTTPServer
class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        payload = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = json.dumps(payload, sort_keys=True)
        want = hmac.new(os.environ["WEBHOOK_SECRET"].encode(), text.encode(), hashlib.sha256).hexdigest()
        got = self.headers.get("X-Webhook-Signature", "").replace("sha256=", "")
        self.send_response(204 if hmac.compare_digest(want, got) else 401)
        self.end_headers()
    def log_message(self, *_): pass
server = HTTPServer(("127.0.0.1", 0), Receiver)
print(f"http://127.0.0.1:{server.server_port}/", flush=True)
server.serve_forever()
