"""For each alert: what the world must look like, minute by minute, that it goes off."""

from __future__ import annotations

RAY = "ray_chat_orchestrator_"
OWN = "chat_orchestrator_"

CALM = {
    'up{job="chat-orchestrator"}': "1x40",
    f"{OWN}health": "2x40",
    f'{RAY}sweeps_total{{result="done"}}': "0+60x40",
    f'{RAY}loop_lag_seconds_count{{process="host-0"}}': "0+240x40",
    f'{RAY}loop_lag_seconds_bucket{{process="host-0",le="0.25"}}': "0+240x40",
    f'{RAY}loop_lag_seconds_bucket{{process="host-0",le="0.5"}}': "0+240x40",
    f'{RAY}loop_lag_seconds_bucket{{process="host-0",le="+Inf"}}': "0+240x40",
    f"{RAY}hosts": "2x40",
    f"{RAY}hosts_wanted": "2x40",
    f"{RAY}host_restarts_total": "0x40",
    f"{RAY}stuck_conversations": "0x40",
    f'{RAY}busy_conversations{{process="host-0"}}': "30x40",
    f'{RAY}messages_refused_total{{reason="overloaded"}}': "0x40",
    f'{RAY}http_responses_total{{status="200"}}': "0+100x40",
    f'{RAY}http_responses_total{{status="500"}}': "0x40",
    f'{RAY}added_latency_seconds_bucket{{le="0.5"}}': "0+100x40",
    f'{RAY}added_latency_seconds_bucket{{le="1"}}': "0+100x40",
    f'{RAY}added_latency_seconds_bucket{{le="+Inf"}}': "0+100x40",
    f"{RAY}ai_latency_seconds_count": "0+100x40",
    f'{RAY}ai_latency_seconds_bucket{{le="10"}}': "0+100x40",
    f'{RAY}ai_latency_seconds_bucket{{le="20"}}': "0+100x40",
    f'{RAY}ai_latency_seconds_bucket{{le="+Inf"}}': "0+100x40",
    f'{RAY}ai_failures_total{{reason="ai_error"}}': "0x40",
    f'{RAY}deliveries_total{{result="sent"}}': "0+100x40",
    f'{RAY}deliveries_total{{result="retry"}}': "0x40",
    f'{RAY}dead_letters_total{{kind="message"}}': "0x40",
    f'{RAY}leases_lost_total{{process="host-0",kind="redis"}}': "0x40",
    f'{RAY}fenced_commits_total{{process="host-0"}}': "0x40",
    f'{RAY}write_failures_total{{kind="accept"}}': "0x40",
    f'{RAY}write_latency_seconds_bucket{{kind="accept",le="0.5"}}': "0+100x40",
    f'{RAY}write_latency_seconds_bucket{{kind="accept",le="1"}}': "0+100x40",
    f'{RAY}write_latency_seconds_bucket{{kind="accept",le="+Inf"}}': "0+100x40",
}
"""A product that does well."""

ALARMING: dict[str, dict[str, str]] = {
    "IngressDown": {'up{job="chat-orchestrator"}': "0x40"},
    "Unhealthy": {f"{OWN}health": "0x40"},
    "Degraded": {f"{OWN}health": "1x40"},
    "MessagesRefused": {f'{RAY}messages_refused_total{{reason="overloaded"}}': "0+1x40"},
    "InternalErrors": {f'{RAY}http_responses_total{{status="500"}}': "0x30 1x10"},
    "AddedLatencyHigh": {f'{RAY}added_latency_seconds_bucket{{le="0.5"}}': "0+50x40"},
    "AiFailing": {f'{RAY}ai_failures_total{{reason="ai_error"}}': "0+20x40"},
    "AiSlow": {f'{RAY}ai_latency_seconds_bucket{{le="10"}}': "0+50x40"},
    "DeliveriesFailing": {f'{RAY}deliveries_total{{result="retry"}}': "0+50x40"},
    "DeadLetters": {f'{RAY}dead_letters_total{{kind="message"}}': "0x30 1x10"},
    "StuckConversations": {f"{RAY}stuck_conversations": "1x40"},
    "LeasesLost": {f'{RAY}leases_lost_total{{process="host-0",kind="redis"}}': "0x35 1x5"},
    "FencedCommits": {f'{RAY}fenced_commits_total{{process="host-0"}}': "0x30 1x10"},
    "HostMissing": {f"{RAY}hosts": "1x40"},
    "HostRestarting": {f"{RAY}host_restarts_total": "0x30 1 2 3 4 4x6"},
    "HostCrowded": {f'{RAY}busy_conversations{{process="host-0"}}': "8000x40"},
    "LoopLag": {f'{RAY}loop_lag_seconds_bucket{{process="host-0",le="0.25"}}': "0+120x40"},
    "SweepsMissing": {f'{RAY}sweeps_total{{result="done"}}': "60x40"},
    "RayMetricsMissing": {f'{RAY}loop_lag_seconds_count{{process="host-0"}}': ""},
    "WritesFailing": {f'{RAY}write_failures_total{{kind="accept"}}': "0+5x40"},
    "WritesSlow": {f'{RAY}write_latency_seconds_bucket{{kind="accept",le="0.5"}}': "0+50x40"},
}
"""What is different then; no values: it is not there at all."""
