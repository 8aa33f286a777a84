"""The lesson: 1000 payments of 1 EUR through a proxy that resets 30 % of the connections before the request arrives, and
30 % before the response comes back. The seed of the server is 42, so every run books the same."""

import os
import unittest
import uuid

import requests

API = "http://%s/proxies/payment/toxics" % os.environ["PAYLAB_API"]
SERVICE = "http://%s" % os.environ["PAYLAB_SERVICE"]
PAYMENTS = "http://%s/payments/" % os.environ["PAYLAB_PROXY"]
COUNT = 1000


def attempt(headers):
    """Whether the service has acknowledged the payment; if not, the payment may be booked or not."""
    try:
        body = {"src": "bianca", "dest": "marc", "amount": "1"}
        return requests.post(PAYMENTS, json=body, headers=headers, timeout=20).status_code in (200, 208)
    except requests.exceptions.ConnectionError:
        return False


def one_try():
    attempt({})


def retry_until_acknowledged(headers):
    while not attempt(headers):
        pass


def booked(pay):
    """The total of the ledger in EUR after all payments were made with this function."""
    requests.delete(SERVICE + "/payments/", timeout=20).raise_for_status()
    for _ in range(COUNT):
        pay()
    return requests.get(SERVICE + "/stats", timeout=20).json()


class Lesson(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        for stream in ("upstream", "downstream"):
            toxic = {"type": "reset_peer", "stream": stream, "toxicity": 0.3, "attributes": {"timeout": 0}}
            requests.post(API, json=toxic, timeout=20).raise_for_status()

    @classmethod
    def tearDownClass(cls):
        for stream in ("upstream", "downstream"):
            requests.delete("%s/reset_peer_%s" % (API, stream), timeout=20).raise_for_status()

    def test_1_one_try_pays_too_little(self):
        self.assertEqual(booked(one_try), 686.0)

    def test_2_retrying_pays_too_much(self):
        self.assertEqual(booked(lambda: retry_until_acknowledged({})), 1429.0)

    def test_3_retrying_with_a_key_pays_exactly_once(self):
        self.assertEqual(booked(lambda: retry_until_acknowledged({"Payment-Idempotence-Key": str(uuid.uuid4())})), 1000.0)
