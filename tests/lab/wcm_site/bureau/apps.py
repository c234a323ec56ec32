"""What happens when a page is published: its marker is noted, and its file is written."""

from django.apps import AppConfig


class BureauConfig(AppConfig):
    """The site's own app."""

    name = "bureau"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = "统计信息网"

    def ready(self) -> None:
        """Listen to Wagtail's signals, whoever publishes: an editor, a schedule or a command."""
        from wagtail.signals import page_published, page_unpublished

        from . import published

        page_published.connect(published.note_marker)
        page_published.connect(published.write_after_commit)
        page_unpublished.connect(published.remove_after_commit)
