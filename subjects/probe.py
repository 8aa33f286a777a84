"""A throw-away client until Paylab can pay a service that is not its own.

Usage: probe.py NEMESIS URL. It pays under one nemesis and prints the outcome as JSON. It does to its own sockets what
Paylab's proxy would do to them, by the same coins.
"""

import hashlib
import http.client
import json
import random
import socket
import struct
import sys
import threading
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

SEED, PAYMENTS, CONCURRENCY, PROBABILITY = 42, 40, 8, 0.3
AMOUNT, STUCK_AFTER, TIMEOUT_S, SETTLE_S = 100, 20, 5, 60
TRY_AGAIN = {409, 423, 425, 429}
FAULTS = {
    "lost-request": "request-lost",
    "lost-answer": "response-lost",
    "cut-at-once": "request-sent",
    "hang-up": "request-sent",
    "hedge": None,
    "other-amount": "response-lost",
}


def strikes(payment, attempt, fault):
    """Whether the fault strikes, by the coin of semantics.md."""
    digest = hashlib.sha256(f"{SEED}/{payment}/{attempt}/{fault}".encode()).digest()
    return fault is not None and int.from_bytes(digest[:8], "big") < int(PROBABILITY * 2**64)


class Probe:
    def __init__(self, nemesis, url):
        self.nemesis, self.address, self.run = nemesis, urlsplit(url), uuid.uuid4().hex[:8]
        self.late, self.lock, self.answers = [], threading.Lock(), Counter()

    def reference(self, payment):
        return f"{self.run}-{payment}"

    def attempt(self, payment, number):
        """One request on a connection of its own: its status and body, or None if the client sees a reset."""
        struck = strikes(payment, number, FAULTS[self.nemesis])
        if struck and self.nemesis == "lost-request":
            return None
        amount = AMOUNT + (number - 1 if self.nemesis == "other-amount" else 0)
        body = json.dumps({"reference": self.reference(payment), "amount": amount, "currency": "EUR"})
        headers = {"Content-Type": "application/json", "Idempotency-Key": self.reference(payment)}
        headers.update({"Cookie": "session=AAAAAAAAAAAAAAAAAAAAAA", "Connection": "close"})
        connection = http.client.HTTPConnection(self.address.hostname, self.address.port, timeout=TIMEOUT_S)
        try:
            connection.request("POST", "/payments", body, headers)
            if struck and self.nemesis == "hang-up":
                connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return None
            if struck and self.nemesis == "cut-at-once":
                self.drain(connection)
                connection = None
                return None
            answer = connection.getresponse()
            text = answer.read()
        except OSError as error:
            with self.lock:
                self.answers[type(error).__name__] += 1
            return None
        finally:
            if connection:
                connection.close()
        return None if struck else (answer.status, text, amount)

    def drain(self, connection):
        """The service's side of the connection stays open until it has answered."""

        def read():
            try:
                connection.getresponse().read()
            except (OSError, http.client.HTTPException):
                pass
            connection.close()

        self.late.append(threading.Thread(target=read))
        self.late[-1].start()

    def pay(self, payment):
        """Tries until acknowledged, refused for good or stuck. Returns which of them, and the acknowledgements."""
        dice, again, number = random.Random(payment), 0, 0
        copies = 2 if self.nemesis == "hedge" else 1
        while again < STUCK_AFTER:
            with ThreadPoolExecutor(copies) as pool:
                answers = list(pool.map(lambda k: self.attempt(payment, k), range(number + 1, number + copies + 1)))
            number += copies
            answers = [answer for answer in answers if answer]
            with self.lock:
                self.answers.update(f"{answer[0]}" for answer in answers)
            if acknowledged := [answer for answer in answers if 200 <= answer[0] < 300]:
                return "acknowledged", acknowledged
            if any(400 <= answer[0] < 500 and answer[0] not in TRY_AGAIN for answer in answers):
                return "refused", []
            again += bool(answers)
            time.sleep(dice.uniform(0, min(0.1, 0.01 * 2 ** min(number, 5))))
        return "stuck", []

    def ledger(self):
        """The entries of this run, by reference."""
        entries, after, more = {}, 0, True
        while more:
            connection = http.client.HTTPConnection(self.address.hostname, self.address.port, timeout=TIMEOUT_S)
            connection.request("GET", f"/payments?after={after}", headers={"Connection": "close"})
            page = json.loads(connection.getresponse().read())
            connection.close()
            for entry in page["data"]:
                after = entry["id"]
                if entry["reference"].startswith(self.run):
                    entries.setdefault(entry["reference"], []).append(entry)
            more = page["has_more"]
        return entries

    def settled_ledger(self):
        deadline, before = time.monotonic() + SETTLE_S, None
        for thread in self.late:
            thread.join(TIMEOUT_S)
        while (now := self.ledger()) != before and time.monotonic() < deadline:
            before = now
            time.sleep(0.5)
        return now

    def outcome(self):
        with ThreadPoolExecutor(CONCURRENCY) as pool:
            beliefs = list(pool.map(self.pay, range(PAYMENTS)))
        ledger, kinds = self.settled_ledger(), Counter()
        for payment, (belief, acknowledged) in enumerate(beliefs):
            entries = ledger.get(self.reference(payment), [])
            kinds["Duplicated"] += len(entries) > 1
            kinds["AcknowledgedButLost"] += bool(acknowledged) and not entries
            kinds["Stuck"] += belief == "stuck"
            kinds["RefusedRepeat"] += belief == "refused" and bool(entries)
            kinds["Refused"] += belief == "refused" and not entries
            amounts = {entry["amount"] for entry in entries}
            kinds["Mismatched"] += any(amount not in amounts for *_, amount in acknowledged) and len(entries) == 1
            identities = {json.loads(text or b"{}").get("id") for _, text, _ in acknowledged}
            kinds["UnstableReplay"] += len(identities) > 1
        anomalies = [{"kind": kind, "count": count, "breaksClaim": True} for kind, count in kinds.items() if count]
        verdict = "Violated" if anomalies else "Upheld"
        return {"verdict": verdict, "anomalies": anomalies, "answers": dict(self.answers)}


if __name__ == "__main__":
    print(json.dumps(Probe(sys.argv[1], sys.argv[2]).outcome()))
