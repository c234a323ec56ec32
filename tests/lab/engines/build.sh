# Makes the disks of a WCM and of its databases; runs as root, in mount, process and network namespaces of its own.
# usage: build.sh ENGINE INTO SCRATCH ROOT ENVIRONMENT      (folders; INTO has `secrets`, and the site in `wcm`)
set -eu
engine=$1 into=$2 scratch=$3 root=$4 environment=$5
here=$into/secrets
. "$engine/engine.sh"
ip link set lo up

# mounted NAME LOWER: a root whose changes land in INTO/NAME, at $scratch/NAME/merged
mounted() {
    work=$scratch/$1/work merged=$scratch/$1/merged
    mkdir -p "$into/$1" "$work" "$merged"
    mount -t overlay overlay -o "lowerdir=$2,upperdir=$into/$1,workdir=$work" "$merged"
    mount -t proc proc "$merged/proc"
    for folder in run tmp dev/shm; do mount -t tmpfs -o mode=1777 tmpfs "$merged/$folder"; done
}

mounted db-backup "$root"
prepare "$scratch/db-backup/merged"
stop "$scratch/db-backup/merged"

db=$scratch/db/merged
mounted db "$root"
prepare "$db"
create_database "$db"

wcm=$scratch/wcm/merged
mounted wcm "$environment:$root"
mkdir -p "$wcm/srv/site" "$wcm/srv/wcm/media" "$wcm/run/etc"
cp "$here"/* "$wcm/run/etc/"
cat > "$wcm/run/etc/database.env" <<-END
	DATABASE_ENGINE=${engine##*/}
	DATABASE_HOST=127.0.0.1
	DATABASE_PORT=$port
	DATABASE_NAME=wcm
	DATABASE_USER=wcm
	DATABASE_PASSWORD_FILE=/run/etc/wcm-password
END
chown -R 450:450 "$wcm/srv/site" "$wcm/srv/wcm" "$wcm/run/etc"
chroot "$wcm" /opt/wcm/bin/python -m compileall -q -j 0 /opt/wcm/site
for command in migrate seed publish; do
    chroot --userspec=450:450 "$wcm" env -i LANG=C.UTF-8 WCM_ETC=/run/etc WCM_RUN=/nowhere \
        /opt/wcm/bin/python /opt/wcm/site/manage.py $command
done
stop "$db"
