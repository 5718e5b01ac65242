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

start_in_docker() { compose up --detach --wait "$1"; }

# The same verbs by docker compose.
run_in_docker() {
    case $1 in
        up) compose up --detach --wait ;;
        start-*) start_in_docker "${1#start-}" ;;
        stop-*) compose stop "${1#stop-}" ;;
        restart-kafka) compose stop kafka && start_in_docker kafka ;;
        crash-postgres) compose kill --signal QUIT postgres && compose stop postgres && start_in_docker postgres ;;
        down) if [ "$2" = yes ]; then compose down --volumes; else compose stop; fi ;;
        pids) printf '%s %s\n' kafka "$(container_pid kafka)" postgres "$(container_pid postgres)" ;;
        status) compose ps && kafka_answers && answers_tcp "$postgres_port" ;;
    esac
}
