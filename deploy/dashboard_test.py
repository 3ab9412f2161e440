"""Evaluates every query of the dashboard on a Prometheus, and fails for any that returns no data.

usage: dashboard_test.py DASHBOARD.json http://HOST:PORT [SECONDS]

Grafana's own variables are replaced as Grafana would, those of the dashboard by their defaults ("All" for the lists, whose own
queries are evaluated, too). A query that returned only NaN or zeros in the last minute counts as one without data: the load is such
that everything moves. Waits up to SECONDS for the last of them: a rate needs a few scrapes.
"""

import json
import math
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request


def get(base, path, **parameters):
    url = f"{base}{path}?{urllib.parse.urlencode(parameters, doseq=True)}"
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        body = error.read().decode(errors="replace")  # no JSON while Prometheus starts
        return json.loads(body) | {"status": "error"} if body.startswith("{") else {"status": "error", "error": body}
    except OSError as error:  # not up yet
        return {"status": "error", "error": str(error)}


def substitute(query, variables):
    names = sorted(variables, key=len, reverse=True)
    pattern = r"\$\{(%s)(?::\w+)?\}|\$(%s)\b" % ("|".join(names), "|".join(names))
    query = re.sub(pattern, lambda match: variables[match[1] or match[2]], query)
    if "$" in query:
        raise SystemExit(f"FAIL  a variable that the dashboard does not define: {query}")
    return query


def evaluate(base, query):
    """The number of series that are not zero all the time, and what is wrong where there is none."""
    now = time.time()
    answer = get(base, "/api/v1/query_range", query=query, start=now - 60, end=now, step=1)
    if answer["status"] != "success":
        return 0, answer.get("error", "refused")
    result = answer["data"]["result"]
    numbers = [[float(v) for _, v in series["values"] if not math.isnan(float(v))] for series in result]
    if not any(numbers):
        return 0, "only NaN" if result else "no data"
    count = sum(any(values) for values in numbers)
    return count, "" if count else "only zeros"


def main():
    dashboard = json.load(open(sys.argv[1], encoding="utf-8"))
    base = sys.argv[2]
    deadline = time.monotonic() + float(sys.argv[3] if len(sys.argv) > 3 else 0)
    variables = {"__rate_interval": "15s", "__interval": "5s", "__range": "60s", "datasource": "prometheus"}
    failures = []
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            variables[variable["name"]] = variable["allValue"]
        elif variable["type"] == "textbox":
            variables[variable["name"]] = variable["query"]

    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    queries = [(panel["title"], target["refId"], substitute(target["expr"], variables)) for panel in panels for target in panel["targets"]]
    if len(queries) < len(panels):
        raise SystemExit("FAIL  a panel without a query")
    waiting = dict.fromkeys(range(len(queries)))
    while waiting:
        for i in list(waiting):
            count, why = evaluate(base, queries[i][2])
            waiting[i] = why
            if count > 0:
                print(f"ok    {queries[i][0]} [{queries[i][1]}]: {count} series")
                del waiting[i]
        if time.monotonic() > deadline:
            break
        time.sleep(1)
    for i, why in waiting.items():
        print(f"FAIL  {queries[i][0]} [{queries[i][1]}]: {why}: {queries[i][2]}")
        failures.append(queries[i][0])
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["definition"]).groups()
            values = get(base, f"/api/v1/label/{label}/values", **{"match[]": metric}).get("data", [])
            print(f"{'ok   ' if values else 'FAIL '} ${variable['name']}: {', '.join(values)}")
            failures += [] if values else [variable["name"]]
    print(f"{len(queries) - len(waiting)} of {len(queries)} queries of {len(panels)} panels returned data")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
