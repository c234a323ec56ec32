"""A small website whose every byte tells which build it's from."""

import hashlib
import io
import tarfile

FOLDER = "/srv/site"
_PARAGRAPH = "全市统计工作会议召开，部署年度统计调查任务，发布国民经济运行情况。"


def build_site(build: str, pages: int = 20) -> dict[str, bytes]:
    """Files by relative path: ``index.html``, ``page/N.html``, ``style.css`` and ``build-id``.

    Every page says its build at its first line and at its last, so that half of a file is told from a whole one.
    """
    files = {"build-id": f"{build}\n".encode(), "style.css": f"/* {build} */ body {{ margin: 2em }}\n".encode()}
    links = "".join(f'<li><a href="/page/{number}.html">统计公报 {number}</a>\n' for number in range(pages))
    files["index.html"] = _page(build, "厦门市统计信息网", f"<ul>\n{links}</ul>")
    for number in range(pages):
        text = "".join(f"<p>{_PARAGRAPH}{_digits(build, number, line)}\n" for line in range(20))
        files[f"page/{number}.html"] = _page(build, f"统计公报 {number}", text)
    return files


def packed(files: dict[str, bytes]) -> bytes:
    """The files as a tar archive, readable for all."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def builds_in(body: bytes) -> set[str]:
    """Every build that a page claims to be from, ``?`` for the last line of a page that was cut short."""
    lines = body.decode(errors="replace").splitlines()
    if not lines or not _is_mark(lines[0]):
        return set()
    whole = len(lines) > 1 and _is_mark(lines[-1])
    return {line.split()[2] for line in lines if _is_mark(line)} | (set() if whole else {"?"})


def _is_mark(line: str) -> bool:
    return line.startswith("<!-- build ") and line.endswith(" -->")


def _page(build: str, title: str, text: str) -> bytes:
    mark = f"<!-- build {build} -->\n"
    head = f'<!doctype html><html lang="zh"><meta charset="utf-8"><title>{title}</title><h1>{title}</h1>\n'
    return f"{mark}{head}{text}\n{mark}".encode()


def _digits(build: str, number: int, line: int) -> str:
    return hashlib.blake2b(f"{build}/{number}/{line}".encode(), digest_size=8).hexdigest()
