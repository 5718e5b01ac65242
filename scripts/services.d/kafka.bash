# shellcheck shell=bash disable=SC2034,SC2154  # scripts/services has the names
# Apache Kafka natively: its jars from a committed list, one node that is broker and controller (KRaft).

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

# Each pair of `behind_proxies` is a listener of its own: clients that come by it are told to go on by its proxy.
write_kafka_settings() {
    local pair listeners='' advertised='' protocols='' guard=''
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
    cat >"$kafka/server.properties" <<END
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:$controller_port
listeners=PLAINTEXT://127.0.0.1:$kafka_port,CONTROLLER://127.0.0.1:$controller_port$listeners
advertised.listeners=PLAINTEXT://127.0.0.1:$kafka_port,CONTROLLER://127.0.0.1:$controller_port$advertised
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT$protocols
log.dirs=$kafka/data
$guard
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=8
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=8
log.cleaner.dedupe.buffer.size=16777216
END
    cat >"$kafka/log4j2.properties" <<END
status=warn
appender.file.type=RollingFile
appender.file.name=file
appender.file.fileName=$kafka/server.log
appender.file.filePattern=$kafka/server.log.%i
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

# Asks the broker for its metadata (version 1, no topics) and succeeds when it names a broker that takes requests.
kafka_answers() {
    local brokers
    answers_tcp "$kafka_port" || return 1
    # shellcheck disable=SC2016  # the inner shell expands it
    brokers=$(timeout 2 bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$1" &&
        printf "\0\0\0\016\0\3\0\1\0\0\0\1\377\377\0\0\0\0" >&3 && head -c 12 <&3 | od -An -tu1 -j 8' - "$kafka_port" \
        2>/dev/null) || return 1
    [ "$(tr -d ' 0\n' <<<"$brokers")" = 1 ]
}

kafka_pid() { live_pid "$kafka/kafka.pid"; }
kafka_answers_or_died() { kafka_answers || ! kafka_pid >/dev/null; }

start_kafka() {
    local java pid log4j=-Dlog4j2.configurationFile=$kafka/log4j2.properties
    if ! pid=$(kafka_pid); then
        "$scripts/prerequisites" java
        java=$("$scripts/prerequisites" java-path)
        fetch_jars
        mkdir -p "$kafka"
        write_kafka_settings
        if [ ! -e "$kafka/data/meta.properties" ]; then
            rm -rf "$kafka/data"
            "$java" -XX:TieredStopAtLevel=1 "$log4j" -cp "$(class_path)" kafka.tools.StorageTool format \
                --standalone --cluster-id "$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n' | cut -c 1-21)A" \
                --config "$kafka/server.properties" >"$kafka/format.out" 2>&1 ||
                die "Kafka's storage could not be formatted: see $kafka/format.out"
        fi
        detached "$java" -Xms512m "-Xmx${SAGABUS_KAFKA_HEAP:-1g}" -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -Djava.awt.headless=true "$log4j" \
            -cp "$(class_path)" kafka.Kafka "$kafka/server.properties" >"$kafka/kafka.out" 2>&1
    fi
    wait_for 90 kafka_answers_or_died || die "Kafka does not answer: see $kafka/server.log"
    kafka_pid >/dev/null || die "Kafka has ended: see $kafka/kafka.out and $kafka/server.log"
}

# Starts a process that outlives this script, in a session of its own, and keeps its pid in kafka.pid.
detached() {
    if has setsid; then setsid "$@" </dev/null 9>&- & else nohup "$@" </dev/null 9>&- & fi
    printf '%s\n' "$!" >"$kafka/kafka.pid"
}

stop_kafka() {
    local pid
    if pid=$(kafka_pid); then
        kill "$pid"
        if ! wait_for 30 kafka_is_gone; then
            say "Kafka does not stop: killing it"
            kill -9 "$pid"
            wait_for 10 kafka_is_gone || die "Kafka (process $pid) cannot be stopped"
        fi
    fi
    rm -f "$kafka/kafka.pid"
}

kafka_is_gone() { ! kafka_pid >/dev/null; }
