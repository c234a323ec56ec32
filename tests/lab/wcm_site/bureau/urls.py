"""Addresses of the WCM."""

from django.conf import settings
from django.contrib.staticfiles.views import serve as serve_static
from django.urls import include, path, re_path
from django.views.static import serve
from wagtail import urls as wagtail_urls
from wagtail.admin import urls as admin_urls
from wagtail.documents import urls as document_urls

from . import views

urlpatterns = [
    path("health", views.health),
    path("markers", views.markers),
    path("query/", views.query),
    path("admin/", include(admin_urls)),
    path("documents/", include(document_urls)),
    path("media/<path:path>", serve, {"document_root": settings.MEDIA_ROOT}),
    path("static/<path:path>", serve_static, {"insecure": True}),
    # The published site, so that editors can follow its links here, too.
    re_path(r"^(?P<path>.+\.html|style\.css|build-id)$", serve, {"document_root": settings.PUBLISHED}),
    path("", include(wagtail_urls)),
]
