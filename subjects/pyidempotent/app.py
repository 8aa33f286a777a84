"""The full example of its README: keys in Redis, and the README's handler for a key that comes with another payload."""

import asyncio
import os

import redis.asyncio as redis
from fastapi import FastAPI, HTTPException, Request
from pydantic import BaseModel
from pyidempotent import IdempotencyConflict, idempotent
from pyidempotent.backends.redis import RedisBackend

app = FastAPI()
backend = RedisBackend(redis.from_url(os.environ["REDIS_URL"]))
ledger = []


class Payment(BaseModel):
    reference: str
    amount: int
    currency: str


@app.exception_handler(IdempotencyConflict)
async def conflict_handler(_, exc):
    raise HTTPException(422, "Idempotency-Key already used with different payload")


@app.post("/payments", status_code=201)
@idempotent(backend=backend, key_header="Idempotency-Key")
async def pay(request: Request, payment: Payment):
    await asyncio.sleep(0.03)
    ledger.append(entry := {"id": len(ledger) + 1, **payment.model_dump()})
    await asyncio.sleep(0.03)
    return entry


@app.get("/payments")
async def payments(after: int = 0):
    return {"data": ledger[after : after + 100], "has_more": len(ledger) > after + 100}
