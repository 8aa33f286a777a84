// The flow of the README, as a middleware: onRequest before the handler, onResponse before its answer is sent.
const express = require("express");
const { Idempotency, IdempotencyError, IdempotencyErrorCodes } = require("@node-idempotency/core");
const { MemoryStorageAdapter } = require("@node-idempotency/storage-adapter-memory");

const idempotency = new Idempotency(new MemoryStorageAdapter());
const pause = () => new Promise((resolve) => setTimeout(resolve, 30));
const ledger = [];
const app = express().use(express.json());

const describe = ({ method, headers, body, path }) => ({ method, headers, body, path });

async function once(request, response, next) {
  try {
    const earlier = await idempotency.onRequest(describe(request));
    return earlier ? response.status(earlier.additional.status).send(earlier.body) : next();
  } catch (error) {
    if (!(error instanceof IdempotencyError)) throw error;
    const inFlight = error.code === IdempotencyErrorCodes.REQUEST_IN_PROGRESS;
    return response.status(inFlight ? 409 : 422).send({ code: error.code });
  }
}

app.post("/payments", once, async (request, response) => {
  await pause();
  const entry = { id: ledger.length + 1, ...request.body };
  ledger.push(entry);
  await pause();
  await idempotency.onResponse(describe(request), { body: entry, additional: { status: 201 } });
  response.status(201).send(entry);
});

app.get("/payments", (request, response) => {
  const after = Number(request.query.after ?? 0);
  response.send({ data: ledger.slice(after, after + 100), has_more: ledger.length > after + 100 });
});

app.listen(Number(process.env.PORT), "127.0.0.1");
