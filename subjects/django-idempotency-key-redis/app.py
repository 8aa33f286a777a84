"""The settings of the README for several processes: a lock in Redis, and the keys in Django's cache, in Redis too."""

import json
import os
import time

import django
import redis
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.urls import path

url = os.environ["REDIS_URL"]
settings.configure(
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["127.0.0.1"],
    MIDDLEWARE=["idempotency_key.middleware.IdempotencyKeyMiddleware"],
    CACHES={"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": url}},
    IDEMPOTENCY_KEY={
        "STORAGE": {"CLASS": "idempotency_key.storage.CacheKeyStorage"},
        "LOCK": {"CLASS": "idempotency_key.locks.redis.MultiProcessRedisLock", "LOCATION": url},
    },
)
django.setup()
store = redis.Redis.from_url(url)


def payments(request):
    if request.method == "GET":
        after = int(request.GET.get("after", 0))
        page = [{"id": after + i, **json.loads(e)} for i, e in enumerate(store.lrange("ledger", after, after + 99), 1)]
        return JsonResponse({"data": page, "has_more": store.llen("ledger") > after + 100})
    time.sleep(0.03)
    entry = {"id": store.rpush("ledger", request.body), **json.loads(request.body)}
    time.sleep(0.03)
    return JsonResponse(entry, status=201)


urlpatterns, application = [path("payments", payments)], get_wsgi_application()
