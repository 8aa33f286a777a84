// Tests the reset proxy with the Node client of Toxiproxy.
"use strict";
const assert = require("node:assert");
const net = require("node:net");
const { after, before, test } = require("node:test");
const { Toxiproxy } = require("toxiproxy-node-client");

const toxiproxy = new Toxiproxy(`http://${process.env.PAYLAB_API}`);
const echo = net.createServer((socket) => {
  socket.on("error", () => {});
  socket.pipe(socket);
});
let upstream;

before(async () => {
  await new Promise((done) => echo.listen(0, "127.0.0.1", done));
  upstream = `127.0.0.1:${echo.address().port}`;
});
after(() => echo.close());

/** Sends a word through a proxy. Resolves to the reply, or to the code of the error. */
function talk(listen) {
  const [host, port] = listen.split(":");
  return new Promise((done) => {
    const socket = net.connect({ host, port, timeout: 20_000 }, () => socket.write("ping"));
    socket.on("data", (word) => done(String(word)));
    socket.on("error", (error) => done(error.code));
    socket.on("end", () => done("end"));
    socket.on("timeout", () => done("timeout"));
  });
}

test("a proxy is created, used and deleted", async () => {
  const proxy = await toxiproxy.createProxy({ name: "node", listen: "127.0.0.1:0", upstream });
  assert.strictEqual(await talk(proxy.listen), "ping");
  await assert.rejects(toxiproxy.createProxy({ name: "node", upstream }), /proxy already exists|409/);
  const down = await proxy.update({ enabled: false, listen: proxy.listen, upstream });
  assert.strictEqual(down.enabled, false);
  assert.strictEqual(await talk(proxy.listen), "ECONNREFUSED");
  await toxiproxy.reset();
  assert.strictEqual(await talk(proxy.listen), "ping");
  assert.strictEqual((await toxiproxy.getAll()).node.listen, proxy.listen);
  assert.match(await toxiproxy.getVersion(), /2\.5\.0/);
  await proxy.remove();
  await assert.rejects(toxiproxy.get("node"), /proxy not found|404/);
});

test("a toxic is added, used and removed", async () => {
  const proxies = await toxiproxy.populate([{ name: "node toxic", listen: "127.0.0.1:0", upstream }]);
  const proxy = proxies["node toxic"];
  const latency = await proxy.addToxic({ type: "latency", attributes: { latency: 300, jitter: 0 } });
  assert.deepStrictEqual(
    [latency.name, latency.stream, latency.toxicity, latency.attributes],
    ["latency_downstream", "downstream", 1, { latency: 300, jitter: 0 }],
  );
  const began = performance.now();
  assert.strictEqual(await talk(proxy.listen), "ping");
  assert.ok(performance.now() - began >= 299);
  const changed = await latency.update({ attributes: { latency: 1 } });
  assert.strictEqual(changed.attributes.latency, 1);
  await latency.remove();
  const reset = await proxy.addToxic({ type: "reset_peer", stream: "upstream", attributes: { timeout: 0 } });
  assert.strictEqual(await talk(proxy.listen), "ECONNRESET");
  assert.strictEqual((await proxy.getToxic("reset_peer_upstream")).type, "reset_peer");
  await reset.remove();
  assert.strictEqual(await talk(proxy.listen), "ping");
  await assert.rejects(proxy.addToxic({ type: "virus", attributes: {} }), /invalid toxic type|400/);
  await proxy.remove();
});
