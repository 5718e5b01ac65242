# shellcheck shell=bash disable=SC2034,SC2154  # scripts/services has the names
# Both services by docker compose.

compose() {
    local tool=(docker compose)
    docker compose version >/dev/null 2>&1 || tool=(docker-compose)
    SAGABUS_KAFKA_PORT=$kafka_port SAGABUS_POSTGRES_PORT=$postgres_port SAGABUS_POSTGRES_PASSWORD=$password \
        "${tool[@]}" --project-name "sagabus-$(cksum <<<"$folder" | cut -d' ' -f1)" \
        --file "$project/docker-compose.yml" "$@" >&2
}

docker_answers() {
    has docker && docker info >/dev/null 2>&1 && { docker compose version || docker-compose version; } >/dev/null 2>&1
}

container_pid() { docker inspect --format '{{.State.Pid}}' "$(compose ps --quiet "$1" 2>&1 | tail -n 1)"; }

# The same verbs by docker compose.
run_in_docker() {
    case $1 in
        up) compose up --detach --wait ;;
        start-*) compose up --detach --wait "${1#start-}" ;;
        stop-*) compose stop "${1#stop-}" ;;
        restart-kafka) compose stop kafka && compose up --detach --wait kafka ;;
        crash-postgres) compose kill --signal QUIT postgres && compose up --detach --wait postgres ;;
        down) if [ "$2" = yes ]; then compose down --volumes; else compose stop; fi ;;
        pids) printf '%s %s\n' kafka "$(container_pid kafka)" postgres "$(container_pid postgres)" ;;
        status) compose ps ;;
    esac
}
