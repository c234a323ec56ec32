"""Fill an empty WCM with the bureau's site."""

import hashlib
import io
import json
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group, User
from django.core.files.base import ContentFile
from django.core.files.images import ImageFile
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from PIL import Image as Picture
from PIL import ImageDraw
from wagtail.documents.models import Document
from wagtail.images.models import Image
from wagtail.models import Page, Site

from bureau.models import BulletinPage, HomePage, MarkerPage, SectionPage

NAME = "厦门市统计信息网"
NEWEST_YEAR = 2025
INDICATORS = (
    ("地区生产总值", "亿元"),
    ("规模以上工业增加值", "亿元"),
    ("固定资产投资", "亿元"),
    ("社会消费品零售总额", "亿元"),
    ("外贸进出口总额", "亿元"),
    ("一般公共预算总收入", "亿元"),
    ("居民人均可支配收入", "元"),
    ("年末常住人口", "万人"),
)


class Command(BaseCommand):
    """`manage.py seed`: sections, twenty bulletins with charts and files, two marker pages, an editor."""

    help = "fills an empty WCM with the bureau's site; the editor's password is read from /etc/wcm/editor-password"

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        """Do it all, or nothing."""
        if HomePage.objects.exists():
            raise CommandError("the site is there already; seed fills only an empty one")
        root = Page.objects.get(depth=1)
        for page in root.get_children():
            page.delete()
        root = Page.objects.get(depth=1)
        home = root.add_child(instance=HomePage(title=NAME, slug="home", intro="<p>统计公报、统计新闻与通知公告。</p>"))
        Site.objects.all().delete()
        Site.objects.create(hostname="www", root_page=home, site_name=NAME, is_default_site=True)
        bulletins = home.add_child(instance=SectionPage(title="统计公报", slug="page"))
        for number in reversed(range(20)):
            bulletins.add_child(instance=bulletin(number))
        news = home.add_child(instance=SectionPage(title="统计新闻", slug="news"))
        for slug, title in (("marker", "数据更新标记"), ("proof", "发布系统检验")):
            text = "<p>全市统计工作会议召开，部署年度统计调查任务，发布国民经济运行情况。</p>"
            news.add_child(instance=MarkerPage(title=title, slug=slug, marker=f"{slug}-0", body=text))
        for page in Page.objects.filter(depth__gt=1).specific():
            page.save_revision().publish()
        editor = User.objects.create_user("editor", "editor@tjj.example", password("editor"))
        editor.groups.add(Group.objects.get(name="Moderators"))
        User.objects.create_superuser("admin", "admin@tjj.example", password("admin"))
        self.stdout.write(f"{Page.objects.count()} pages, {Image.objects.count()} pictures")


def password(user: str) -> str:
    """Of a user of the WCM, from its file."""
    return (settings.ETC / f"{user}-password").read_text().strip()


def bulletin(number: int) -> BulletinPage:
    """The bulletin of one year, with its table, its chart and its file."""
    year = NEWEST_YEAR - number
    rows = [(name, f"{figure(name, year):,.1f} {unit}", growth(name, year)) for name, unit in INDICATORS]
    table = "指标,数值,比上年增长(%)\n" + "".join(f'{name},"{value}",{more}\n' for name, value, more in rows)
    picture = ImageFile(io.BytesIO(drawing(year)), f"chart-{year}.png")
    chart = Image.objects.create(title=f"{year}年主要指标", file=picture)
    file = ContentFile(table.encode("utf-8-sig"), f"figures-{year}.csv")
    sheet = Document.objects.create(title=f"{year}年主要指标.csv", file=file)
    lead = f"{year}年，全市经济运行总体平稳，{rows[0][0]}{rows[0][1]}，比上年增长{rows[0][2]}%。"
    body = [
        {"type": "heading", "value": "一、综合"},
        {"type": "text", "value": f"<p>{lead}</p>"},
        {"type": "table", "value": [dict(zip(("name", "value", "growth"), row, strict=True)) for row in rows]},
        {"type": "chart", "value": chart.pk},
        {"type": "heading", "value": "二、附件"},
        {"type": "file", "value": sheet.pk},
    ]
    title = f"{year}年厦门市国民经济和社会发展统计公报"
    return BulletinPage(title=title, slug=str(number), year=year, body=json.dumps(body))


def figure(name: str, year: int) -> float:
    """A made-up figure, always the same for the same name and year."""
    start = 200 + int.from_bytes(hashlib.blake2b(name.encode(), digest_size=2).digest()) % 5000
    for past in range(1990, year + 1):
        start *= 1 + float(growth(name, past)) / 100
    return start


def growth(name: str, year: int) -> str:
    """Made up as well, in percent."""
    seed = hashlib.blake2b(f"{name}/{year}".encode(), digest_size=2).digest()
    return f"{3 + int.from_bytes(seed) % 60 / 10:.1f}"


def drawing(year: int) -> bytes:
    """A bar chart of the year's figures, as PNG."""
    picture = Picture.new("RGB", (900, 400), "white")
    pen = ImageDraw.Draw(picture)
    values = [figure(name, year) for name, _ in INDICATORS]
    for number, value in enumerate(values):
        left, height = 40 + number * 105, 360 * value / max(values)
        pen.rectangle((left, 380 - height, left + 80, 380), fill=(40, 90 + 15 * number, 160))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
