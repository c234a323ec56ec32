# ruff: noqa: RUF012 - Django and Wagtail read these class attributes, and never write them
"""The bureau's pages, and the markers by which tests know what was written where."""

from typing import Any

from django.db import models
from django.http import HttpRequest
from wagtail.admin.panels import FieldPanel
from wagtail.blocks import CharBlock, ListBlock, RichTextBlock, StructBlock
from wagtail.documents.blocks import DocumentChooserBlock
from wagtail.fields import RichTextField, StreamField
from wagtail.images.blocks import ImageChooserBlock
from wagtail.models import Page


class PublishedPage(Page):
    """A page that is published as a file: ``/page/7/`` of the WCM is ``page/7.html`` on the web server."""

    class Meta:
        abstract = True

    #: Whether it is the index of a folder of its own.
    folder = False

    @property
    def file(self) -> str:
        """The path of its file below the published site, like ``page/7.html``."""
        path = self.url_path.strip("/").partition("/")[2]  # the first part is the root's
        if self.folder:
            return f"{path}/index.html".lstrip("/")
        return f"{path}.html"

    @property
    def link(self) -> str:
        """Its address on the web server."""
        return f"/{self.file.removesuffix('index.html')}"


class HomePage(PublishedPage):
    """首页: the sections, and the newest of each."""

    intro = RichTextField(blank=True)
    content_panels = [*Page.content_panels, FieldPanel("intro")]
    max_count = 1
    folder = True

    def get_context(self, request: HttpRequest, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """With `sections`: each section and its newest pages."""
        context = super().get_context(request, *args, **kwargs)
        sections = SectionPage.objects.child_of(self).live()
        context["sections"] = [(section, section.newest(8)) for section in sections]
        return context


class SectionPage(PublishedPage):
    """栏目: a list of its pages, the newest first."""

    folder = True

    def newest(self, count: int = 50) -> list[PublishedPage]:
        """Its pages, at most so many."""
        return list(self.get_children().live().order_by("-first_published_at", "-pk").specific()[:count])


class TableRow(StructBlock):
    """One line of a table of figures."""

    name = CharBlock(label="指标")
    value = CharBlock(label="数值")
    growth = CharBlock(label="比上年增长(%)", required=False)


class BulletinPage(PublishedPage):
    """统计公报: text, tables, charts and files to download."""

    year = models.PositiveSmallIntegerField("年份")
    body = StreamField(
        [
            ("heading", CharBlock(label="标题", template="bureau/blocks/heading.html")),
            ("text", RichTextBlock(label="正文")),
            ("table", ListBlock(TableRow(), label="统计表", template="bureau/blocks/table.html")),
            ("chart", ImageChooserBlock(label="图表", template="bureau/blocks/chart.html")),
            ("file", DocumentChooserBlock(label="附件", template="bureau/blocks/file.html")),
        ],
        blank=True,
    )
    content_panels = [*Page.content_panels, FieldPanel("year"), FieldPanel("body")]


class MarkerPage(PublishedPage):
    """A notice that is edited again and again, each time with another marker in it."""

    marker = models.CharField("标记", max_length=100, db_index=True)
    body = RichTextField(blank=True)
    content_panels = [*Page.content_panels, FieldPanel("marker"), FieldPanel("body")]


class Marker(models.Model):
    """A marker that was published: one row for each, written in the transaction that publishes it."""

    text = models.CharField(max_length=100, db_index=True)
    source = models.CharField(
        max_length=20, db_index=True
    )  # the page's slug: `marker` by editors, `proof` by a command
    wcm = models.CharField(max_length=64)
    revision = models.BigIntegerField()
    published_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.text
