# PostgreSQL: a new cluster that listens, lets in whom it must, and knows the roles `wcm` and `failover`.
port=5432

# sql ROOT [DATABASE]: as the superuser
sql() { chroot "$1" setpriv --reuid postgres --regid postgres --init-groups psql -qXv ON_ERROR_STOP=1 "${2:-postgres}"; }

prepare() {
    version=$(ls "$1/usr/lib/postgresql")
    chroot "$1" pg_dropcluster "$version" main
    chroot "$1" pg_createcluster --locale C.UTF-8 "$version" main -- --data-checksums --auth-local=peer
    cp "$engine/pg_hba.conf" "$1/etc/postgresql/$version/main/pg_hba.conf"
    cp "$engine/lab.conf" "$1/etc/postgresql/$version/main/conf.d/lab.conf"
    chroot "$1" pg_ctlcluster "$version" main start
    sql "$1" <<-END
		create role wcm login password '$(cat "$here/wcm-password")';
		create role failover login createdb password '$(cat "$here/failover-password")';
		grant wcm to failover;
	END
}

create_database() { echo "create database wcm owner wcm;" | sql "$1"; }

stop() { chroot "$1" pg_ctlcluster "$(ls "$1/usr/lib/postgresql")" main stop -m fast; }
