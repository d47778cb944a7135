#!/usr/bin/env bash
# Draws the timeline of a load test as SVG: reconnects a second above, the
# delivery of messages below.
#
#   scripts/timeline-svg.sh timeline.csv [steps.txt] >curve.svg
#
# steps.txt is what the demo scripts write: a time and what was done, a line each.
# It needs awk and GNU date.
set -euo pipefail
(($# == 1 || $# == 2)) || { sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 2; }

zero=$(date -d "$(awk -F, 'NR == 2 {print $2}' "$1")" +%s)
steps() { # second,text
  local at text
  while read -r at text; do
    echo "$(($(date -d "$at" +%s) - zero)),$text"
  done
}

steps <"${2:-/dev/null}" | awk -F, '
  BEGIN {
    left = 60; width = 900; top = 20; high = 170; low = 245; deep = 150
    blue = "#2563eb"; grey = "#6b7280"
  }
  function x(s) { return left + width * (s - from) / span }
  function y(ms) { # 1 ms to 100 s, in powers of ten
    ms = ms < 1 ? 1 : ms
    return low + deep * (1 - log(ms) / log(100000))
  }
  function text(px, py, what, more) {
    gsub(/&/, "\\&amp;", what); gsub(/</, "\\&lt;", what)
    printf "<text x=\"%.1f\" y=\"%.1f\" %s>%s</text>\n", px, py, more, what
  }
  function rule(px, py, qx, qy, colour) {
    printf "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\" stroke-width=\"0.7\"/>\n", px, py, qx, qy, colour
  }
  FILENAME == "-" { at[++steps] = $1; what[steps] = $2; next }
  FNR == 1 { for (i = 1; i <= NF; i++) column[$i] = i; next }
  {
    s = $1; n++
    if (n == 1) from = s
    last = s
    back[s] = $column["reconnects"] + 0
    p50[s] = $column["delivery_p50_ms"] + 0
    p99[s] = $column["delivery_p99_ms"] + 0
    if (back[s] > most) most = back[s]
  }
  END {
    span = last - from + 1
    unit = 1
    for (i = 1; most / unit > 5; i++) unit *= i % 3 == 2 ? 2.5 : 2 # 1, 2, 5, 10, 20, 50 …
    ceiling = unit * (int(most / unit) + 1)
    tall = low + deep + 40 + 14 * int((steps + 2) / 3)
    print "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 980 " tall "\" font-family=\"sans-serif\" font-size=\"11\" fill=\"#374151\">"
    print "<rect width=\"980\" height=\"" tall "\" fill=\"white\"/>"
    text(left, top - 6, "reconnects a second", "font-weight=\"bold\"")
    for (v = 0; v <= ceiling; v += unit) {
      py = top + high - high * v / ceiling
      rule(left, py, left + width, py, "#e5e7eb")
      text(left - 6, py + 4, v, "text-anchor=\"end\"")
    }
    text(left, low - 8, "delivery: p50 and p99 of each second, without what came by resuming", "font-weight=\"bold\"")
    split("1 ms,10 ms,100 ms,1 s,10 s,100 s", names, ",")
    for (i = 0; i <= 5; i++) {
      py = y(10 ^ i)
      rule(left, py, left + width, py, "#e5e7eb")
      text(left - 6, py + 4, names[i + 1], "text-anchor=\"end\"")
    }
    every = 30; while (span / every > 15) every *= 2
    for (s = from; s <= last; s += every) text(x(s), low + deep + 16, (s - from) " s", "text-anchor=\"middle\"")
    for (i = 1; i <= steps; i++) {
      if (at[i] < from || at[i] > last) continue
      shown++
      px = x(at[i])
      rule(px, top, px, top + high + 8, "#f59e0b")
      rule(px, low, px, low + deep, "#f59e0b")
      text(px, top + high + 20, shown, "text-anchor=\"middle\" fill=\"#b45309\"")
      text(left + 300 * ((shown - 1) % 3), low + deep + 40 + 14 * int((shown - 1) / 3), shown "  " what[i], "fill=\"#b45309\"")
    }
    wide = width / span
    printf "<g fill=\"%s\">\n", blue
    for (s = from; s <= last; s++) if (back[s] > 0)
      printf "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>\n", x(s), top + high - high * back[s] / ceiling, wide * 0.9, high * back[s] / ceiling
    print "</g>"
    for (k = 0; k < 2; k++) {
      printf "<path fill=\"none\" stroke=\"%s\" stroke-width=\"1.2\" d=\"", k ? grey : blue
      pen = "M"
      for (s = from; s <= last; s++) {
        v = k ? p99[s] : p50[s]
        if (v == 0) { pen = "M"; continue }
        printf "%s%.1f %.1f", pen, x(s + 0.5), y(v); pen = "L"
      }
      print "\"/>"
    }
    print "</svg>"
  }' - "$1"
