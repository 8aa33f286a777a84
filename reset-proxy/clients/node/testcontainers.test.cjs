// Tests the entry point of the image in place of Toxiproxy's image, with the module of Testcontainers for Node, and as the one for Go uses it.
"use strict";
const assert = require("node:assert");
const { mkdtemp, rm, writeFile } = require("node:fs/promises");
const net = require("node:net");
const { tmpdir } = require("node:os");
const { join } = require("node:path");
const { after, before, test } = require("node:test");
const { ToxiProxyContainer } = require("@testcontainers/toxiproxy");
const { GenericContainer, Wait } = require("testcontainers");

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

/** Uses a container while it runs, and expects it to end as it should. */
async function use(container, using) {
  const started = await container.start();
  let ended;
  try {
    await using(started);
  } finally {
    ended = await started.stop();
  }
  assert.deepStrictEqual(ended, [0, null]);
}

/** Uses a container of this module. */
function useModule(using) {
  return use(new ToxiProxyContainer("paylab"), using);
}

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

test("proxies get the ports that the module exposes", () => useModule(async (container) => {
  const proxies = [];
  for (const name of ["one", "two"]) proxies.push(await container.createProxy({ name, upstream }));
  assert.deepStrictEqual(proxies.map(({ port }) => port), [8666, 8667]);
  for (const proxy of proxies) assert.strictEqual(await talk(proxy), "ping");
  await proxies[0].setEnabled(false);
  assert.deepStrictEqual([await talk(proxies[0]), await talk(proxies[1])], ["ECONNREFUSED", "ping"]);
  await proxies[0].setEnabled(true);
  assert.strictEqual(await talk(proxies[0]), "ping");
}));

test("a toxic takes effect until it is removed", () => useModule(async (container) => {
  const proxy = await container.createProxy({ name: "toxic", upstream });
  const toxic = await proxy.instance.addToxic({
    name: "reset", type: "reset_peer", stream: "upstream", toxicity: 1, attributes: { timeout: 0 },
  });
  assert.strictEqual(await talk(proxy), "ECONNRESET");
  await toxic.remove();
  assert.strictEqual(await talk(proxy), "ping");
}));

test("the module for Go copies a file with its proxies, and its command has only options", async () => {
  const folder = await mkdtemp(join(tmpdir(), "paylab-"));
  const file = join(folder, "tc-toxiproxy.json");
  try {
    await writeFile(file, JSON.stringify([{ name: "go", listen: "0.0.0.0:8666", upstream, enabled: true }], null, "    "));
    const container = new GenericContainer("paylab")
      .withExposedPorts(8474, 8666)
      .withWaitStrategy(Wait.forHttp("/version", 8474))
      .withStartupTimeout(30_000)
      .withCommand(["-host=0.0.0.0", `-config=${file}`]);
    await use(container, async () => {
      assert.strictEqual(await talk({ host: "127.0.0.1", port: 8666 }), "ping");
    });
  } finally {
    await rm(folder, { recursive: true });
  }
});
