# shellcheck shell=bash disable=SC2034,SC2154  # scripts/services has the names
# Apache Kafka natively: its jars from a committed list. Node 1 is broker and controller (KRaft), the others are brokers.

# `sha256  path` of each jar, as in the repository's layout.
jar_sums() {
    sed -n 's/^\([0-9a-f]\{64\}\)  \(.*\):\(.*\):\(.*\)$/\1 \2 \3 \4/p' "$scripts/kafka-jars.txt" |
        while read -r sum group artifact version; do
            printf '%s  %s/%s/%s/%s-%s.jar\n' "$sum" "${group//.//}" "$artifact" "$version" "$artifact" "$version"
        done
}

# Prints the `sha256  path` lines whose jar is not in the cache, or is not what the list says.
jars_missing() {
    jar_sums | while read -r sum path; do
        printf '%s  %s\n' "$sum" "$cache/${path##*/}"
    done | sha256sum --check 2>/dev/null | sed -n 's/: FAILED.*//p' | sed 's,.*/,/,' | grep -F -f - <(jar_sums) || true
}

# Fetches one jar; called by xargs with the sum and the path.
fetch_jar() {
    local jar=$cache/${2##*/} part
    part=$(mktemp "$cache/.part-XXXXXX")
    curl --fail --silent --show-error --location --retry 3 --retry-all-errors --connect-timeout 20 \
        --output "$part" "$central/$2" &&
        printf '%s  %s\n' "$1" "$part" | sha256sum --check --quiet >&2 &&
        chmod 644 "$part" && mv "$part" "$jar" && return
    rm -f "$part"
    return 255
}

fetch_jars() {
    local lines all total fetcher
    lines=$(jars_missing)
    [ -n "$lines" ] || return 0
    "$scripts/prerequisites" download
    mkdir -p "$cache"
    all=$(jar_sums | wc -l)
    total=$(wc -l <<<"$lines")
    say "fetching $total of Kafka's $all jars into $cache"
    export -f fetch_jar
    export cache central
    xargs -P 8 -L 1 bash -c 'fetch_jar "$@"' fetch_jar <<<"$lines" &
    fetcher=$!
    while wait_for_progress "$fetcher"; do
        say "$(find "$cache" -name '*.jar' | wc -l) of $all jars are here"
    done
    wait "$fetcher" || die "a jar could not be fetched or is not what scripts/kafka-jars.txt says: run it again"
}

# Waits 3 seconds at most for process $1 to end; succeeds while it runs.
wait_for_progress() { ! wait_for 3 eval "! kill -0 $1 2>/dev/null"; }

class_path() { jar_sums | while read -r _ path; do printf '%s:' "$cache/${path##*/}"; done; }

# Prints the numbers of the nodes.
nodes() {
    local node=1
    printf '1\n'
    for _ in $more_brokers; do printf '%s\n' $((node += 1)); done
}

# Runs a command for each node, with its number.
each_node() { local node; for node in $(nodes); do "$@" "$node" || true; done; }

node_folder() { if [ "$1" = 1 ]; then printf '%s\n' "$kafka"; else printf '%s\n' "$kafka/$1"; fi; }

# shellcheck disable=SC2086  # each broker's port is a word
node_port() { set -- "$1" "$kafka_port" $more_brokers && shift "$1" && printf '%s\n' "$1"; }

# Prints where clients reach Kafka.
kafka_addresses() {
    local port addresses=127.0.0.1:$kafka_port
    for port in $more_brokers; do addresses+=,127.0.0.1:$port; done
    printf '%s\n' "$addresses"
}

# Writes the settings of node $1. What is kept is kept three times, where there are three brokers.
# Each pair of `behind_proxies` is a listener of its own: clients that come by it are told to go on by its proxy.
write_kafka_settings() {
    local folder roles=broker listener pair listeners='' advertised='' protocols='' guard='' copies=1 in_sync=1
    folder=$(node_folder "$1")
    listener=PLAINTEXT://127.0.0.1:$(node_port "$1")
    if [ "$1" = 1 ]; then
        roles=broker,controller
        listener+=,CONTROLLER://127.0.0.1:$controller_port
    fi
    if [ "$(nodes | tail -n 1)" -ge 3 ]; then copies=3 in_sync=2; fi
    for pair in $behind_proxies; do
        listeners+=,PROXIED_${pair#*:}://127.0.0.1:${pair%:*}
        advertised+=,PROXIED_${pair#*:}://127.0.0.1:${pair#*:}
        protocols+=,PROXIED_${pair#*:}:PLAINTEXT
    done
    if [ -n "$guarded_port" ]; then
        listeners+=,GUARDED://127.0.0.1:$guarded_port
        advertised+=,GUARDED://127.0.0.1:$guarded_port
        protocols+=,GUARDED:SASL_PLAINTEXT
        guard="listener.name.guarded.sasl.enabled.mechanisms=PLAIN
listener.name.guarded.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_sagabus=\"$password\";"
    fi
    cat >"$folder/server.properties" <<END
process.roles=$roles
node.id=$1
controller.quorum.bootstrap.servers=127.0.0.1:$controller_port
listeners=$listener$listeners
advertised.listeners=$listener$advertised
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT$protocols
log.dirs=$folder/data
$guard
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
default.replication.factor=$copies
min.insync.replicas=$in_sync
offsets.topic.replication.factor=$copies
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=$copies
transaction.state.log.min.isr=$in_sync
transaction.state.log.num.partitions=8
share.coordinator.state.topic.replication.factor=$copies
share.coordinator.state.topic.min.isr=$in_sync
share.coordinator.state.topic.num.partitions=8
log.cleaner.dedupe.buffer.size=16777216
END
    cat >"$folder/log4j2.properties" <<END
status=warn
appender.file.type=RollingFile
appender.file.name=file
appender.file.fileName=$folder/server.log
appender.file.filePattern=$folder/server.log.%i
appender.file.layout.type=PatternLayout
appender.file.layout.pattern=%d{ISO8601} %p %m (%c)%n
appender.file.policies.type=Policies
appender.file.policies.size.type=SizeBasedTriggeringPolicy
appender.file.policies.size.size=10MB
appender.file.strategy.type=DefaultRolloverStrategy
appender.file.strategy.max=2
rootLogger.level=warn
rootLogger.appenderRef.file.ref=file
END
}

# Asks node $1 for its metadata (version 1, no topics) and succeeds when it names all brokers as ones that take requests.
node_answers() {
    local port brokers
    port=$(node_port "$1")
    answers_tcp "$port" || return 1
    # shellcheck disable=SC2016  # the inner shell expands it
    brokers=$(timeout 2 bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$1" &&
        printf "\0\0\0\016\0\3\0\1\0\0\0\1\377\377\0\0\0\0" >&3 && head -c 12 <&3 | od -An -tu1 -j 8' - "$port" \
        2>/dev/null) || return 1
    [ "$(tr -d ' 0\n' <<<"$brokers")" = "$(nodes | tail -n 1)" ]
}

kafka_answers() { local node; for node in $(nodes); do node_answers "$node" || return 1; done; }

node_pid() { live_pid "$(node_folder "$1")/kafka.pid"; }
node_is_gone() { ! node_pid "$1" >/dev/null; }
kafka_runs() { local node; for node in $(nodes); do ! node_is_gone "$node" || return 1; done; }
kafka_answers_or_died() { kafka_answers || ! kafka_runs; }

print_node_pid() {
    local pid
    ! pid=$(node_pid "$1") || printf 'kafka%s %s\n' "$([ "$1" = 1 ] || printf -- '-%s' "$1")" "$pid"
}

start_kafka() {
    local node java
    if ! kafka_runs; then
        "$scripts/prerequisites" java
        java=$("$scripts/prerequisites" java-path)
        fetch_jars
        for node in $(nodes); do ! node_is_gone "$node" || start_node "$node" "$java"; done
    fi
    wait_for 90 kafka_answers_or_died || die "Kafka does not answer: see server.log in $kafka and the folders of its nodes"
    kafka_runs || die "Kafka has ended: see kafka.out and server.log in $kafka and the folders of its nodes"
}

# Starts node $1 with the Java at $2. Node 1 comes first: it makes up the cluster's name.
start_node() {
    local node=$1 java=$2 folder log4j
    folder=$(node_folder "$node")
    log4j=-Dlog4j2.configurationFile=$folder/log4j2.properties
    mkdir -p "$folder"
    write_kafka_settings "$node"
    if [ ! -e "$folder/data/meta.properties" ]; then
        rm -rf "$folder/data"
        if [ "$node" = 1 ]; then
            set -- --standalone --cluster-id "$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n' | cut -c 1-21)A"
        else
            set -- --cluster-id "$(sed -n 's/^cluster.id=//p' "$kafka/data/meta.properties")"
        fi
        "$java" -XX:TieredStopAtLevel=1 "$log4j" -cp "$(class_path)" kafka.tools.StorageTool format "$@" \
            --config "$folder/server.properties" >"$folder/format.out" 2>&1 ||
            die "Kafka's storage could not be formatted: see $folder/format.out"
    fi
    detached "$folder" "$java" "-Xms${SAGABUS_KAFKA_HEAP:-512m}" "-Xmx${SAGABUS_KAFKA_HEAP:-1g}" -XX:+UseG1GC \
        -XX:MaxGCPauseMillis=20 -Djava.awt.headless=true "$log4j" -cp "$(class_path)" kafka.Kafka "$folder/server.properties"
}

# Starts a process that outlives this script, in a session of its own, and keeps in folder $1 its pid and what it says.
detached() {
    local folder=$1
    shift
    if has setsid; then
        setsid "$@" </dev/null >"$folder/kafka.out" 2>&1 9>&- &
    else
        nohup "$@" </dev/null >"$folder/kafka.out" 2>&1 9>&- &
    fi
    printf '%s\n' "$!" >"$folder/kafka.pid"
}

# The controller ends last: brokers tell it that they go.
stop_kafka() { local node; for node in $(nodes | sort -r); do stop_node "$node"; done; }

stop_node() {
    local pid
    if pid=$(node_pid "$1"); then
        kill "$pid"
        if ! wait_for 30 node_is_gone "$1"; then
            say "Kafka does not stop: killing it"
            kill -9 "$pid"
            wait_for 10 node_is_gone "$1" || die "Kafka (process $pid) cannot be stopped"
        fi
    fi
    rm -f "$(node_folder "$1")/kafka.pid"
}
