"""What the WCM answers besides Wagtail: its health, markers by token, and the website's query."""

import hmac

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import DatabaseError, connection, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from wagtail.models import Page

from .middleware import HOST, database_used
from .models import MarkerPage

PROOF = "proof"


@transaction.non_atomic_requests
def health(request: HttpRequest) -> JsonResponse:
    """200 if the database answers and holds the site, else 503 with the reason."""
    said: dict[str, object] = {"host": HOST, "engine": settings.DATABASE_ENGINE}
    try:
        pages = Page.objects.live().count()
    except DatabaseError as error:
        connection.close()
        return JsonResponse(said | {"status": "no database", "reason": str(error).strip()}, status=503)
    return JsonResponse(said | {"status": "ok", "database": database_used(), "pages": pages})


@csrf_exempt
@require_POST
def markers(request: HttpRequest) -> HttpResponse:
    """Publish a marker, given as ``text``, by the way that an editor's goes: a revision, and its publication."""
    token = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if not hmac.compare_digest(token.encode(), settings.MARKER_TOKEN.encode()):
        return JsonResponse({"problem": "the token is wrong"}, status=403)
    page = MarkerPage.objects.select_for_update().get(slug=PROOF)
    page.marker = request.POST.get("text", "")
    try:
        revision = page.save_revision(clean=True, log_action=True)
    except ValidationError as error:
        return JsonResponse({"problem": "; ".join(error.messages)}, status=400)
    revision.publish()
    said = {"marker": page.marker, "page": page.pk, "revision": revision.pk, "host": HOST, "database": database_used()}
    return JsonResponse(said, status=201)


def query(request: HttpRequest) -> HttpResponse:
    """数据查询: the one part of the website that asks the database while a visitor waits; 500 without a database."""
    words = request.GET.get("q", "")
    pages = Page.objects.live().filter(title__icontains=words).order_by("-first_published_at")[:20].specific()
    return render(request, "bureau/query.html", {"words": words, "pages": [p for p in pages if hasattr(p, "link")]})
