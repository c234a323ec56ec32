"""The bureau's website as its WCM knows it: a Wagtail site in Chinese, on PostgreSQL or MariaDB."""

import pymysql

# mysqlclient has no wheels; PyMySQL stands in for it, and says the version that Django asks for.
pymysql.install_as_MySQLdb()
