# shellcheck shell=bash disable=SC2034,SC2154  # scripts/services has the names
# Postgres natively, as an unprivileged user, with the durability settings of a production server.

# Finds the folder of initdb, pg_ctl and the rest, behind links on PATH, or the newest of Debian's.
find_postgres() {
    postgres_bin=
    has postgres && postgres_bin=$(dirname "$(readlink -f "$(command -v postgres)")")
    if [ ! -x "$postgres_bin/initdb" ] || [ ! -x "$postgres_bin/pg_ctl" ]; then
        postgres_bin=$(compgen -G '/usr/lib/postgresql/*/bin' | sort -V | tail -n 1) || return 1
    fi
    [ -x "$postgres_bin/initdb" ]
}

# Runs a command as the user that owns Postgres's data: Postgres refuses root, who drops to an unprivileged user.
as_owner() {
    if [ "$(id -u)" != 0 ]; then
        (cd / && "$@" 9>&-)
    elif has setpriv; then
        (cd / && setpriv --reuid="$owner" --regid="$(id -g "$owner")" --clear-groups -- "$@" 9>&-)
    else
        # shellcheck disable=SC2016  # the inner shell expands it
        (cd / && su "$owner" -s /bin/sh -c '"$0" "$@"' -- "$@" 9>&-)
    fi
}

# Sets `owner` and `data`. A folder that the owner cannot enter (a clone below a private home, as root) is no place for
# the data: then it is below /var/tmp, and a link tells where.
place_postgres() {
    owner=$(id -un)
    if [ "$owner" = root ]; then
        if id -u postgres >/dev/null 2>&1; then owner=postgres; else owner=nobody; fi
    fi
    mkdir -p "$postgres"
    if [ ! -L "$postgres/data" ] && [ ! -d "$postgres/data" ]; then
        if as_owner test -x "$postgres"; then
            mkdir "$postgres/data"
        else
            ln -s "$(mktemp -d /var/tmp/sagabus-postgres-XXXXXX)" "$postgres/data"
        fi
        chown "$owner" "$postgres/data/."
        chmod 700 "$postgres/data/."
    fi
    data=$(readlink -f "$postgres/data") || data=
    [ -d "$data" ] || die "Postgres's data is gone: run scripts/services down --wipe, then up"
}

# Counts statements for benches, where the server has the library.
preloaded() {
    [ ! -e "$("$postgres_bin/pg_config" --pkglibdir 2>/dev/null)/pg_stat_statements.so" ] || echo pg_stat_statements
}

write_postgres_settings() {
    as_owner tee "$data/sagabus.conf" >/dev/null <<END
listen_addresses = '127.0.0.1'
port = $postgres_port
unix_socket_directories = ''
max_connections = 100
fsync = on
synchronous_commit = on
full_page_writes = on
shared_buffers = 256MB
max_wal_size = 2GB
log_checkpoints = off
shared_preload_libraries = '$(preloaded)'
END
}

# Our settings are written last, so that an initdb that was interrupted is done again.
init_postgres() {
    local secret failed=
    find "$data" -mindepth 1 -delete
    secret=$(as_owner mktemp)
    as_owner tee "$secret" >/dev/null <<<"$password"
    as_owner "$postgres_bin/initdb" --pgdata="$data" --username=sagabus --auth=scram-sha-256 --encoding=UTF8 \
        --locale=C --pwfile="$secret" >"$postgres/initdb.out" 2>&1 || failed=yes
    as_owner rm "$secret"
    [ -z "$failed" ] || die "initdb failed: see $postgres/initdb.out"
    as_owner sh -c "echo \"include = 'sagabus.conf'\" >>'$data/postgresql.conf'"
}

control_postgres() {
    as_owner "$postgres_bin/pg_ctl" --pgdata="$data" --timeout=120 --wait --silent "$@" >>"$postgres/control.out" 2>&1
}

start_server() { control_postgres --log="$data/server.log" start; }

postgres_pid() { live_pid "$data/postmaster.pid"; }

query_postgres() {
    PGPASSWORD=$password "$postgres_bin/psql" -h 127.0.0.1 -p "$postgres_port" -U sagabus -d "$1" -XAtqc "$2"
}

postgres_answers() { [ "$(query_postgres sagabus 'select 1' 2>/dev/null)" = 1 ]; }

start_postgres() {
    "$scripts/prerequisites" postgres
    find_postgres || die "initdb and pg_ctl are not to be found"
    place_postgres
    if ! postgres_pid >/dev/null; then
        [ -e "$data/sagabus.conf" ] || init_postgres
        write_postgres_settings
        # A killed server's pid file stands in the way until the system has forgotten that process.
        start_server || { [ -e "$data/postmaster.pid" ] && wait_for 20 start_server; } ||
            die "Postgres does not start: see $data/server.log"
    fi
    postgres_answers || query_postgres postgres 'create database sagabus' || die "Postgres does not answer"
}

# Stops it in the given mode: fast, or immediate for a crash.
stop_postgres() {
    [ -e "$postgres/data/." ] || return 0
    find_postgres || die "pg_ctl is not to be found"
    place_postgres
    ! postgres_pid >/dev/null || control_postgres --mode="$1" stop || die "Postgres does not stop"
}
