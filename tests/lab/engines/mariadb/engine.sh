# MariaDB: a server that listens, and knows the accounts `wcm` and `failover`.
port=3306

# sql ROOT: as the superuser
sql() { chroot "$1" mariadb --batch; }

prepare() {
    cp "$engine/lab.cnf" "$1/etc/mysql/mariadb.conf.d/70-lab.cnf"
    install -d -o "$(stat -c %u "$1/var/lib/mysql")" -m 755 "$1/run/mysqld"
    chroot "$1" mariadbd --user=mysql >/dev/null 2>&1 &
    server=$!
    tries=0
    until chroot "$1" mariadb-admin --silent ping 2>/dev/null; do
        tries=$((tries + 1))
        [ $tries -lt 300 ] || { echo "MariaDB wasn't up within 30 s" >&2; exit 1; }
        sleep 0.1
    done
    sql "$1" <<-END
		create user wcm@'10.77.0.2_' identified by '$(cat "$here/wcm-password")';
		create user wcm@'127.0.0.1' identified by '$(cat "$here/wcm-password")';
	END
    for account in wcm@"'10.77.0.2_'" wcm@"'127.0.0.1'"; do
        echo "grant all on wcm.* to $account;" | sql "$1"
    done
    for place in "'10.77.0.3_'" "'127.0.0.1'" "'localhost'"; do
        sql "$1" <<-END
			create user failover@$place identified by '$(cat "$here/failover-password")';
			create user failover_restore@$place identified by '$(cat "$here/failover-password")';
			grant all on wcm.* to failover@$place with grant option;
			grant all on \`wcm\\_\\_%\`.* to failover@$place with grant option;
			-- to see who may write, to see and end the WCM's connections, and to dump in one snapshot
			grant select on mysql.db to failover@$place;
			grant select on mysql.proc to failover@$place;
			grant select (user, host, insert_priv, update_priv, delete_priv) on mysql.user to failover@$place;
			grant process, reload, connection admin, binlog monitor, set user on *.* to failover@$place;
		END
    done
}

create_database() { echo "create database wcm character set utf8mb4 collate utf8mb4_general_ci;" | sql "$1"; }

stop() {
    chroot "$1" mariadb-admin shutdown
    wait "$server"
}
