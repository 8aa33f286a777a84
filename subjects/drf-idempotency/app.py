"""The middleware of the README's quick start, with its database backend."""

import time

import django
from django.conf import settings

SQLITE = {"ENGINE": "django.db.backends.sqlite3", "OPTIONS": {"transaction_mode": "IMMEDIATE"}}
settings.configure(
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["127.0.0.1"],
    INSTALLED_APPS=["drf_idempotency"],
    MIDDLEWARE=["drf_idempotency.middleware.IdempotencyMiddleware"],
    DATABASES={"default": {"NAME": "keys.sqlite3", **SQLITE}},
    IDEMPOTENCY={"BACKEND": "drf_idempotency.backends.database.DatabaseBackend"},
    REST_FRAMEWORK={"UNAUTHENTICATED_USER": None},
)
django.setup()
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.urls import path
from rest_framework.decorators import api_view
from rest_framework.response import Response

call_command("migrate", verbosity=0)
ledger = []


@api_view(["GET", "POST"])
def payments(request):
    if request.method == "GET":
        after = int(request.GET.get("after", 0))
        return Response({"data": ledger[after : after + 100], "has_more": len(ledger) > after + 100})
    time.sleep(0.03)
    ledger.append(entry := {"id": len(ledger) + 1, **request.data})
    time.sleep(0.03)
    return Response(entry, status=201)


urlpatterns, application = [path("payments", payments)], get_wsgi_application()
