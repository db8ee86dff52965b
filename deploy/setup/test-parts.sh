#!/usr/bin/env bash
# Fetches the real parts that the integration tests run against into the cache
# folder, and writes there, in `test/env`, where each of them is:
#
#   KAFKA_CLASSPATH     Apache Kafka and its command-line clients
#   JAVA                the Java launcher
#   KEYCLOAK            a Keycloak server, built for a quick start without a database
#   AIOSMTPD_PYTHON     a Python that has the SMTP server aiosmtpd
#   PLAYWRIGHT          the folder of playwright-core, NODE runs it
#   CHROMIUM            the browser
#   PUBLISHED           a folder with what Slack, Microsoft and PagerDuty publish of the calls that they
#                       take, as types in node_modules, and the TypeScript compiler that reads them
#
# The file is KEY=value lines without quoting; tests/support/parts.rs reads it.

source "$(dirname "$0")/common.sh"

readonly playwright_version=1.55.1
# The newest that runs on Java 17.
readonly keycloak_version=26.7.3
readonly keycloak_sha256=27a6535553c3cdcd083872ba40629efafb3475e3b758e0c6f691395561dd0f1f
parts=$cache/test

# The pom is the version: a change of any pin in it resolves afresh.
fetch_kafka() {
    local version
    version=$(sha256sum <"$setup_dir/kafka/pom.xml")
    present "$parts/kafka/.version" "$version" && return
    say "fetching Apache Kafka"
    mvn -q -B -Dstyle.color=never -f "$setup_dir/kafka/pom.xml" \
        org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
        -DoutputDirectory="$scratch/kafka" >&2 || fail "maven could not fetch Apache Kafka"
    stamp "$scratch/kafka/.version" "$version"
    rm -rf "$parts/kafka"
    mv "$scratch/kafka" "$parts/kafka"
}

# Maven resumes what was cut off. The archive keeps no modes, and the server is built
# once here (half a minute) rather than at each start.
fetch_keycloak() {
    local archive=$scratch/keycloak-quarkus-dist-$keycloak_version.zip
    present "$parts/keycloak/.version" "$keycloak_version" && return
    say "fetching Keycloak $keycloak_version"
    mvn -q -B -Dstyle.color=never org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy \
        -Dartifact="org.keycloak:keycloak-quarkus-dist:$keycloak_version:zip" \
        -DoutputDirectory="$scratch" >&2 || fail "maven could not fetch Keycloak"
    sha256sum --check --quiet <<<"$keycloak_sha256  $archive" || fail "$archive is not the pinned file"
    python3 -m zipfile -e "$archive" "$scratch"
    rm -rf "$archive" "$parts/keycloak"
    mv "$scratch/keycloak-$keycloak_version" "$parts/keycloak"
    chmod +x "$parts/keycloak/bin/kc.sh"
    "$parts/keycloak/bin/kc.sh" build --db=dev-mem >"$scratch/keycloak.log" 2>&1 ||
        { cat "$scratch/keycloak.log" >&2; fail "Keycloak could not be built"; }
    stamp "$parts/keycloak/.version" "$keycloak_version"
}

# A virtual environment holds absolute paths, so it is made in place; the stamp
# comes last, and an unstamped one is made anew.
fetch_aiosmtpd() {
    local version
    version=$(sha256sum <"$setup_dir/smtp-requirements.txt")
    present "$parts/smtp/.version" "$version" && [[ -x $parts/smtp/bin/python ]] && return
    say "fetching aiosmtpd"
    rm -rf "$parts/smtp"
    python3 -m venv "$parts/smtp"
    "$parts/smtp/bin/pip" install --quiet --disable-pip-version-check --require-hashes \
        -r "$setup_dir/smtp-requirements.txt" || fail "pip could not fetch aiosmtpd"
    stamp "$parts/smtp/.version" "$version"
}

fetch_playwright() {
    present "$parts/playwright-core/.version" "$playwright_version" && return
    fetch_npm playwright-core "$playwright_version" \
        Z6Mh9mkwX+zxSlHqdr5AOcJnfp+xUWLCt9uKV18fhzA8eyxUd8NUWzAjxUh55RZKSYwDGX0cfaySdhZJGMoJ+w==
    stamp "$scratch/package/.version" "$playwright_version"
    rm -rf "$parts/playwright-core"
    mv "$scratch/package" "$parts/playwright-core"
}

# NAME VERSION SHA512 of each.
readonly -a published=(
    "typescript 5.9.3 jl1vZzPDinLr9eUt3J/t7V6FgNEw9QjvBPdysz9KfQDD41fQrC2Y4vKQdiaUpFT4bXlb1RHhLpp8wtm6M5TgSw=="
    "@slack/types 3.2.0 IN4gdtlzQt8UJoj+1v+qAHeR4TxHO0KMlIs841SFfDQAcFFnsrWaGsEAE4goxVt8O/JOAFaGGdrFTzhNBop/Fg=="
    "@slack/webhook 8.0.2 gBPlV9W6zfP4qcijX47Ni5GznbZ8Q7oZYnCQMGkOGnEHPny+gR1xpjaUdafSwGNEVKjHtW39+A2Upzg1GPHyVg=="
    "@microsoft/teams.cards 2.1.0 Ok6WRhcfflCZmPqP5g3DtG5/MKPyXamll8gyuxGtNBhZLfitQtr0TAdcvXN8I4B6c7hoqSBDthvQ0aDReWTzXA=="
    "@pagerduty/pdjs 2.2.4 MMZvxos7PJnGJ8z3ijsu/gsMQLIfO8peeigKCjUDmviXk8FIaZZjX0X889NIKuFDhGirYbJVwGTaDYCEw4baLg=="
)

fetch_published() {
    local line name version digest all="${published[*]}"
    present "$parts/published/.version" "$all" && return
    for line in "${published[@]}"; do
        read -r name version digest <<<"$line"
        fetch_npm "$name" "$version" "$digest"
        mkdir -p "$scratch/published/node_modules/$(dirname "$name")"
        mv "$scratch/package" "$scratch/published/node_modules/$name"
    done
    stamp "$scratch/published/.version" "$all"
    rm -rf "$parts/published"
    mv "$scratch/published" "$parts/published"
}

write_env() {
    cat >"$scratch/env" <<ENV
KAFKA_CLASSPATH=$parts/kafka/*
JAVA=$(command -v java)
KEYCLOAK=$parts/keycloak
AIOSMTPD_PYTHON=$parts/smtp/bin/python
PLAYWRIGHT=$parts/playwright-core
NODE=$(command -v node)
CHROMIUM=$(command -v "${BARTIZAN_CHROMIUM:-chromium}")
PUBLISHED=$parts/published
ENV
    mv "$scratch/env" "$parts/env"
}

lock_cache
mkdir -p "$parts"
make_scratch
fetch_kafka
fetch_keycloak
fetch_aiosmtpd
fetch_playwright
fetch_published
write_env
