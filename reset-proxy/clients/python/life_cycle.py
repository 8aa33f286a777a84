"""Tests the reset proxy with a Python client of Toxiproxy."""

import os
import socket
import socketserver
import threading
import time
import unittest

from toxiproxy import Toxiproxy
from toxiproxy.exceptions import InvalidToxic, ProxyExists

TIMEOUT_S = 20


class Echo(socketserver.BaseRequestHandler):
    """Sends back what it receives until the other side ends."""

    def handle(self):
        try:
            while word := self.request.recv(1024):
                self.request.sendall(word)
        except ConnectionError:
            pass  # Some of the tests reset the connection.


def talk(listen):
    """Sends a word through a proxy and returns the reply, which is empty when the connection ends instead."""
    host, port = listen.rsplit(":", 1)
    with socket.create_connection((host, int(port)), TIMEOUT_S) as connection:
        connection.sendall(b"ping")
        return connection.recv(4)


class LifeCycle(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.echo = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo)
        threading.Thread(target=cls.echo.serve_forever, daemon=True).start()
        cls.upstream = "127.0.0.1:%d" % cls.echo.server_address[1]
        host, port = os.environ["PAYLAB_API"].rsplit(":", 1)
        cls.server = Toxiproxy()
        cls.server.update_api_consumer(host, int(port))

    @classmethod
    def tearDownClass(cls):
        cls.echo.shutdown()
        cls.echo.server_close()

    def created(self, name):
        proxy = self.server.create(self.upstream, name)
        self.addCleanup(proxy.destroy)
        return proxy

    def test_a_proxy_is_created_used_and_deleted(self):
        self.assertTrue(self.server.running())
        self.assertIn(b"2.5.0", self.server.version())
        proxy = self.server.create(self.upstream, "python")
        self.assertEqual(talk(proxy.listen), b"ping")
        self.assertEqual(self.server.get_proxy("python").listen, proxy.listen)
        with self.assertRaises(ProxyExists):
            self.server.create(self.upstream, "python")
        with proxy.down(), self.assertRaises(ConnectionRefusedError):
            talk(proxy.listen)
        self.assertEqual(talk(proxy.listen), b"ping")
        proxy.destroy()
        self.assertIsNone(self.server.get_proxy("python"))

    def test_a_toxic_is_added_used_and_removed(self):
        proxy = self.created("python toxic")
        proxy.add_toxic(type="latency", attributes={"latency": 300})
        self.assertEqual(proxy.get_toxic("latency_downstream").attributes, {"latency": 300, "jitter": 0})
        began = time.monotonic()
        self.assertEqual(talk(proxy.listen), b"ping")
        self.assertGreaterEqual(time.monotonic() - began, 0.3)
        proxy.destroy_toxic("latency_downstream")
        proxy.add_toxic(name="reset", type="reset_peer", stream="upstream")
        with self.assertRaises(ConnectionResetError):
            talk(proxy.listen)
        with self.assertRaises(InvalidToxic):
            proxy.add_toxic(type="virus")
        self.server.reset()
        self.assertEqual(proxy.toxics(), {})
        self.assertEqual(talk(proxy.listen), b"ping")

    def test_many_proxies_are_created_at_once(self):
        names = ["python one", "python two"]
        proxies = self.server.populate([{"name": name, "upstream": self.upstream, "listen": "127.0.0.1:0"} for name in names])
        for proxy in proxies:
            self.addCleanup(proxy.destroy)
            self.assertEqual(talk(proxy.listen), b"ping")
        self.assertEqual([proxy.name for proxy in proxies], names)
