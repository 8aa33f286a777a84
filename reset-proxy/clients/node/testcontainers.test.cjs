// Tests the entry point of the image in place of Toxiproxy's image, with the module of Testcontainers for Toxiproxy.
"use strict";
const assert = require("node:assert");
const net = require("node:net");
const { after, before, test } = require("node:test");
const { ToxiProxyContainer } = require("@testcontainers/toxiproxy");

const echo = net.createServer((socket) => {
  socket.on("error", () => {});
  socket.pipe(socket);
});
let container;
let upstream;

before(async () => {
  await new Promise((done) => echo.listen(0, "127.0.0.1", done));
  upstream = `127.0.0.1:${echo.address().port}`;
  container = await new ToxiProxyContainer("paylab").withCommand(["reset-proxy", "-host=0.0.0.0"]).start();
});
after(async () => {
  echo.close();
  assert.deepStrictEqual(await container.stop(), [0, null]);
});

/** Sends a word through a proxy. Resolves to the reply, or to the code of the error. */
function talk({ host, port }) {
  return new Promise((done) => {
    const socket = net.connect({ host, port, timeout: 20_000 }, () => socket.write("ping"));
    socket.on("data", (word) => done(String(word)) || socket.destroy());
    socket.on("error", (error) => done(error.code));
    socket.on("end", () => done("end"));
    socket.on("timeout", () => done("timeout"));
  });
}

test("proxies get the ports that the module exposes", async () => {
  const proxies = [];
  for (const name of ["one", "two"]) proxies.push(await container.createProxy({ name, upstream }));
  assert.deepStrictEqual(proxies.map(({ port }) => port), [8666, 8667]);
  for (const proxy of proxies) assert.strictEqual(await talk(proxy), "ping");
  await proxies[0].setEnabled(false);
  assert.deepStrictEqual([await talk(proxies[0]), await talk(proxies[1])], ["ECONNREFUSED", "ping"]);
  await proxies[0].setEnabled(true);
  assert.strictEqual(await talk(proxies[0]), "ping");
  for (const { instance } of proxies) await instance.remove();
});

test("a toxic takes effect until it is removed", async () => {
  const proxy = await container.createProxy({ name: "toxic", upstream });
  const toxic = await proxy.instance.addToxic({
    name: "reset", type: "reset_peer", stream: "upstream", toxicity: 1, attributes: { timeout: 0 },
  });
  assert.strictEqual(await talk(proxy), "ECONNRESET");
  await toxic.remove();
  assert.strictEqual(await talk(proxy), "ping");
  await proxy.instance.remove();
});
