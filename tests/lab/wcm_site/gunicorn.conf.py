"""How gunicorn serves the WCM, and what it does when it starts to."""

import threading
import time

wsgi_app = "bureau.wsgi"
bind = "[::]:8000"
workers = 2
threads = 4
preload_app = True  # loaded before it forks: it tells systemd that it's ready when it really is
timeout = 30
graceful_timeout = 5
worker_tmp_dir = "/dev/shm"
control_socket_disable = True

AGAIN_SECONDS = 2.0


def post_worker_init(worker) -> None:
    """Let the first worker publish the site from the database.

    A WCM that takes over can't know how old the pages on its disk are. Nothing is carried to the web server before.
    """
    if worker.age == 1:
        threading.Thread(target=_publish_all, daemon=True, name="publish").start()


def _publish_all() -> None:
    from bureau.published import write_all
    from django.db import Error, connection

    said = ""
    while True:
        try:
            print(f"{write_all()} pages published from the database", flush=True)
            return
        except (Error, LookupError, OSError) as error:
            if str(error) != said:
                said = str(error)
                print(f"the site can't be published yet: {said}", flush=True)
            time.sleep(AGAIN_SECONDS)
        finally:
            connection.close()
