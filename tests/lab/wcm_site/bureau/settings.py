"""Settings of the WCM. What differs from host to host is read from files in /etc/wcm, at every start."""

import os
from pathlib import Path

ETC = Path(os.environ.get("WCM_ETC", "/etc/wcm"))
SRV = Path(os.environ.get("WCM_SRV", "/srv"))
RUN = Path(os.environ.get("WCM_RUN", "/run/wcm"))
BASE_DIR = Path(__file__).resolve().parent.parent


def env_file(name: str) -> dict[str, str]:
    """KEY=value lines of a file in /etc/wcm; a value may stand in quotes, as systemd.exec(5) has it."""
    pairs = (line.split("=", 1) for line in (ETC / name).read_text().splitlines() if "=" in line.partition("#")[0])
    return {key.strip(): value.strip().strip("'\"") for key, value in pairs}


_database = env_file("database.env")
DATABASE_ENGINE = _database["DATABASE_ENGINE"]
_DRIVERS = {
    # A host that lost its power doesn't say so: without these a request would wait for it for minutes (tcp(7)).
    "postgresql": {
        "ENGINE": "django.db.backends.postgresql",
        "OPTIONS": {
            "connect_timeout": 2,
            "tcp_user_timeout": 3000,
            "keepalives_idle": 5,
            "keepalives_interval": 1,
            "keepalives_count": 3,
        },
    },
    "mariadb": {
        "ENGINE": "django.db.backends.mysql",
        "OPTIONS": {"connect_timeout": 2, "read_timeout": 5, "write_timeout": 5, "charset": "utf8mb4"},
    },
}
DATABASES = {
    "default": {
        **_DRIVERS[DATABASE_ENGINE],
        "HOST": _database["DATABASE_HOST"],
        "PORT": _database["DATABASE_PORT"],
        "NAME": _database["DATABASE_NAME"],
        "USER": _database["DATABASE_USER"],
        "PASSWORD": Path(_database["DATABASE_PASSWORD_FILE"]).read_text().strip(),
        "ATOMIC_REQUESTS": True,
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
    }
}
SECRET_KEY = (ETC / "secret-key").read_text().strip()
MARKER_TOKEN = (ETC / "marker-token").read_text().strip()

PUBLISHED = SRV / "site"
INCOMING = SRV / "wcm" / "incoming"
MEDIA_ROOT = SRV / "wcm" / "media"
MEDIA_URL = "/media/"
STATIC_URL = "/static/"

ALLOWED_HOSTS = ["*"]
DEBUG = False
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "zh-hans"
TIME_ZONE = "Asia/Shanghai"
USE_TZ = True
ROOT_URLCONF = "bureau.urls"
WSGI_APPLICATION = "bureau.wsgi.application"
WAGTAIL_SITE_NAME = "厦门市统计信息网"
WAGTAILADMIN_BASE_URL = "http://wcm:8000"
WAGTAIL_ENABLE_UPDATE_CHECK = False
WAGTAIL_ENABLE_WHATS_NEW_BANNER = False

INSTALLED_APPS = [
    "bureau",
    "wagtail.contrib.forms",
    "wagtail.contrib.redirects",
    "wagtail.embeds",
    "wagtail.sites",
    "wagtail.users",
    "wagtail.snippets",
    "wagtail.documents",
    "wagtail.images",
    "wagtail.search",
    "wagtail.admin",
    "wagtail",
    "modelcluster",
    "taggit",
    "django_filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "bureau.middleware.SayWho",
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "wagtail.contrib.redirects.middleware.RedirectMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"journal": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["journal"], "level": "INFO"},
    "loggers": {"django_tasks": {"level": "WARNING"}, "wagtail": {"level": "WARNING"}},
}
