"""The middleware and the settings of its README, which keeps keys in memory and locks between threads."""

import json
import time

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.urls import path

settings.configure(
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["127.0.0.1"],
    MIDDLEWARE=["idempotency_key.middleware.IdempotencyKeyMiddleware"],
    IDEMPOTENCY_KEY={"LOCK": {"CLASS": "idempotency_key.locks.basic.ThreadLock"}},
)
django.setup()
ledger = []


def payments(request):
    if request.method == "GET":
        after = int(request.GET.get("after", 0))
        return JsonResponse({"data": ledger[after : after + 100], "has_more": len(ledger) > after + 100})
    payment = json.loads(request.body)
    time.sleep(0.03)
    entry = {"id": len(ledger) + 1, **payment}
    ledger.append(entry)
    time.sleep(0.03)
    return JsonResponse(entry, status=201)


urlpatterns = [path("payments", payments)]
application = get_wsgi_application()
