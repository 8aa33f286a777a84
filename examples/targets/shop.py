"""A payment service with a bug that its tests do not find. It needs Python only: PORT=9000 python3 examples/targets/shop.py"""

import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

payments, answers, lock = [], {}, threading.Lock()


class Shop(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        key = self.headers["Idempotency-Key"]
        if key in answers:
            return self.answer(200, answers[key])
        # The bug: until the key is stored below, a repeat of this request is taken for a new payment.
        time.sleep(0.03)
        with lock:
            payment = {"id": len(payments) + 1, **body}
            payments.append(payment)
        answers[key] = payment
        self.answer(201, payment)

    def do_GET(self):
        after = int(self.path.partition("after=")[2] or 0)
        self.answer(200, {"data": payments[after : after + 100], "has_more": after + 100 < len(payments)})

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


ThreadingHTTPServer.request_queue_size = 128
ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Shop).serve_forever()
