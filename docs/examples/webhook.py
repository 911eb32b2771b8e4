"""Receives webhooks; needs Python 3.8 and nothing else.

    WEBHOOK_SECRET=... python3 webhook.py PORT

answers 401 to what the secret did not sign and 204 to the rest. Two secrets may stand in
WEBHOOK_SECRET with a space between while one takes the other's place. With WEBHOOK_CHECK=body
it checks X-Webhook-Signature instead of webhook-signature.
"""

import base64
import hashlib
import hmac
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOLERANCE = 300  # seconds
LIMIT = 1 << 20  # bytes of a body


def verify(secret, headers, body, now=None):
    """Tells whether webhook-signature is good: id, time and body, as bytes, are signed."""
    id, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not id or not (stamp.isascii() and stamp.isdigit() and len(stamp) < 13):
        return False
    if abs((time.time() if now is None else now) - int(stamp)) > TOLERANCE:
        return False
    key = base64.b64decode(secret[6:]) if secret.startswith("whsec_") else secret.encode()
    digest = hmac.new(key, f"{id}.{stamp}.".encode() + body, hashlib.sha256).digest()
    want = b"v1," + base64.b64encode(digest)
    return any(hmac.compare_digest(want, s.encode()) for s in headers.get("webhook-signature", "").split(" "))


def verify_body(secret, headers, body):
    """Tells whether X-Webhook-Signature is good. It knows nothing of time: prefer verify."""
    want = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(want.encode(), headers.get("X-Webhook-Signature", "").encode())


done = set()  # of your database, in the transaction that does the work


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > LIMIT:
            return self.answer(413)
        body = self.rfile.read(int(length))
        if not any(check(secret, self.headers, body) for secret in secrets):
            return self.answer(401)
        id = self.headers.get("webhook-id")
        if id is None or id not in done:  # the same event may come again
            print(self.headers.get("X-Webhook-Event"), body.decode(), flush=True)
            done.add(id)
        self.answer(204)

    def answer(self, status):
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    secrets = os.environ.get("WEBHOOK_SECRET", "").split()
    if not secrets:
        sys.exit("WEBHOOK_SECRET is not set")
    # Which one is not for the request to say: who recorded one could leave its time away.
    check = verify_body if os.environ.get("WEBHOOK_CHECK") == "body" else verify
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver)
    print(f"http://127.0.0.1:{server.server_port}/", flush=True)
    server.serve_forever()
