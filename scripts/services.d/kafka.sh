# Apache Kafka in KRaft mode, one process that is broker and controller. Sourced by scripts/services.
# Its jars are those of kafka.jars, by path below Maven Central, with their checksums; compose.yaml names the same version.
kafka_version=4.1.0
kafka_jars=$cache/kafka-$kafka_version
maven=${ONSALE_SERVICES_MAVEN:-https://repo1.maven.org/maven2}

kafka_install() {
    # Debian's default: 17, or 21 in the one after; both run it.
    need java default-jre-headless
    need curl curl ca-certificates
    cmp -s "$services_d/kafka.jars" "$kafka_jars/complete" && return
    mkdir -p "$kafka_jars"
    echo "fetching Apache Kafka $kafka_version" >&2
    local sum path wanted=()
    while read -r sum path; do
        [ -f "$kafka_jars/${path##*/}" ] && sha256sum --check --status <<<"$sum  $kafka_jars/${path##*/}" && continue
        wanted+=(--output "$kafka_jars/${path##*/}" "$maven/$path")
    done <"$services_d/kafka.jars"
    [ ${#wanted[@]} = 0 ] || curl -fsSL --no-progress-meter --parallel --parallel-max 8 --retry 3 "${wanted[@]}"
    while read -r sum path; do printf '%s  %s\n' "$sum" "$kafka_jars/${path##*/}"; done <"$services_d/kafka.jars" |
        sha256sum --check --quiet || fail "what was fetched from $maven is not what kafka.jars names"
    cp "$services_d/kafka.jars" "$kafka_jars/complete"
}

kafka_ports() {
    port=$(port_of "$folder/port" ONSALE_SERVICES_KAFKA_PORT 19092)
    controller_port=$(port_of "$folder/port.controller" ONSALE_SERVICES_KAFKA_CONTROLLER_PORT 19093)
    # Who comes in here is told to come back through proxy_port, where a test puts a toxiproxy in between.
    behind_port=$(port_of "$folder/port.behind" ONSALE_SERVICES_KAFKA_BEHIND_PORT 19094)
    proxy_port=$(port_of "$folder/port.proxy" ONSALE_SERVICES_KAFKA_PROXY_PORT 19095)
    # Set aside for a listener that `extra.properties` may add.
    secure_port=$(port_of "$folder/port.secure" ONSALE_SERVICES_KAFKA_SECURE_PORT 19096)
}

kafka_ready() { grep -q 'Kafka Server started' "$folder/log" && listens "$port"; }

kafka_up() {
    kafka_ports
    kafka_install
    alive "$folder/pid" && return
    # compose.yaml has the same settings. `extra.properties` in the folder adds to them: listeners with TLS, limits.
    cat >"$folder/server.properties" <<SETTINGS
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller_port
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAIN:PLAINTEXT,BEHIND:PLAINTEXT,SECURE:SASL_SSL
inter.broker.listener.name=PLAIN
listeners=PLAIN://127.0.0.1:$port,BEHIND://127.0.0.1:$behind_port,CONTROLLER://127.0.0.1:$controller_port
advertised.listeners=PLAIN://127.0.0.1:$port,BEHIND://127.0.0.1:$proxy_port
log.dirs=$folder/logs
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=8
min.insync.replicas=1
default.replication.factor=1
num.partitions=1
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
controlled.shutdown.enable=false
SETTINGS
    [ ! -f "$folder/extra.properties" ] || cat "$folder/extra.properties" >>"$folder/server.properties"
    cat >"$folder/log4j2.yaml" <<'LOGGING'
Configuration:
  Appenders:
    Console: {name: console, PatternLayout: {pattern: "[%d] %p %m (%c)%n"}}
  Loggers:
    Root: {level: INFO, AppenderRef: {ref: console}}
LOGGING
    if [ ! -f "$folder/logs/meta.properties" ]; then
        local id
        # 16 bytes as base64 for addresses: what StorageTool random-uuid prints, without a second JVM.
        id=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | cut -c1-22)
        java -XX:TieredStopAtLevel=1 -cp "$kafka_jars/*" kafka.tools.StorageTool format --cluster-id="$id" --config="$folder/server.properties" >"$folder/format.log" 2>&1 ||
            { cat "$folder/format.log" >&2; fail "cannot format $folder/logs"; }
    fi
    : >"$folder/log"
    begin "$folder/pid" "$folder/log" java -Xmx512m -XX:+UseSerialGC -Dlog4j2.configurationFile="$folder/log4j2.yaml" \
        -cp "$kafka_jars/*" kafka.Kafka "$folder/server.properties"
    wait_for 60 "$folder/pid" "$folder/log" kafka_ready
}

kafka_down() { stop "$folder/pid" 30; }

# Tests run Kafka's own programs, whoever runs the broker.
kafka_beside() {
    [ "$1" != up ] || (flock 8; kafka_install 8>&-) 8>"$data/kafka.lock" >&2
    printf 'export ONSALE_TEST_KAFKA_JARS=%q\n' "$kafka_jars"
}

kafka_env() {
    kafka_ports
    printf 'export ONSALE_TEST_KAFKA=127.0.0.1:%s\n' "$port"
    printf 'export ONSALE_TEST_KAFKA_BEHIND=127.0.0.1:%s ONSALE_TEST_KAFKA_PROXY=127.0.0.1:%s\n' "$behind_port" "$proxy_port"
    printf 'export ONSALE_TEST_KAFKA_SECURE=127.0.0.1:%s\n' "$secure_port"
    printf 'export ONSALE_TEST_KAFKA_JARS=%q\n' "$kafka_jars"
}
