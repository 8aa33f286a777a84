"""The middleware as its README begins, with the keys in memory."""

import asyncio

from fastapi import FastAPI
from idemkit import IdempotencyMiddleware, InMemoryBackend
from pydantic import BaseModel

app = FastAPI()
app.add_middleware(IdempotencyMiddleware, backend=InMemoryBackend())
ledger = []


class Payment(BaseModel):
    reference: str
    amount: int
    currency: str


@app.post("/payments", status_code=201)
async def pay(payment: Payment):
    await asyncio.sleep(0.03)
    entry = {"id": len(ledger) + 1, **payment.model_dump()}
    ledger.append(entry)
    await asyncio.sleep(0.03)
    return entry


@app.get("/payments")
async def payments(after: int = 0):
    return {"data": ledger[after : after + 100], "has_more": len(ledger) > after + 100}
