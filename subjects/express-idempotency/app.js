// The middleware of the README with its defaults, which keep keys in memory, and its test for a hit in the handler.
const express = require("express");
const { idempotency, getSharedIdempotencyService } = require("express-idempotency");

const pause = () => new Promise((resolve) => setTimeout(resolve, 30));
const ledger = [];
const app = express().use(express.json());

app.post("/payments", idempotency(), async (request, response) => {
  if (getSharedIdempotencyService().isHit(request)) return;
  await pause();
  const entry = { id: ledger.length + 1, ...request.body };
  ledger.push(entry);
  await pause();
  response.status(201).send(entry);
});

app.get("/payments", (request, response) => {
  const after = Number(request.query.after ?? 0);
  response.send({ data: ledger.slice(after, after + 100), has_more: ledger.length > after + 100 });
});

app.listen(Number(process.env.PORT), "127.0.0.1");
