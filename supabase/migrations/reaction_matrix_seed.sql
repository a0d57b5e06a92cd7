-- The default policies: generated from policies/default by npm run sql:build. Run it as often as you like: a policy that
-- exists is left as it is.

insert into public.ops_policy (key, value) values
  ('reaction_matrix', $json${
  "patterns": [
    {
      "id": "failed-workflow-run",
      "name": "Triage a failed workflow run",
      "description": "One mission for each failed run, at most one every 30 minutes for each repository.",
      "event_type": "github:workflow_run.completed",
      "source": "github",
      "when": "event.data.workflow_run.conclusion == 'failure'",
      "cooldown_minutes": 30,
      "cooldown_key": "{{event.data.repository.full_name}}",
      "dedupe_key": "workflow-run-{{event.data.workflow_run.id}}",
      "proposal_source": "github-ci",
      "template": {
        "title": "CI failed in {{event.data.repository.full_name}}: {{event.data.workflow_run.name}}",
        "risk_level": "low",
        "agent": "triage",
        "steps": [
          {
            "key": "triage",
            "kind": "noop",
            "params": {
              "branch": "{{event.data.workflow_run.head_branch}}",
              "commit": "{{event.data.workflow_run.head_sha}}",
              "instructions": "{{role.instructions}}",
              "run": "{{event.data.workflow_run.id}}"
            }
          },
          {
            "key": "record",
            "kind": "radar",
            "params": {
              "action": "add",
              "description": "Run {{steps.triage.result.echo.run}} failed on branch {{steps.triage.result.echo.branch}}, commit {{steps.triage.result.echo.commit}}.",
              "source_url": "{{event.data.workflow_run.html_url}}",
              "title": "CI failed in {{event.data.repository.full_name}}",
              "topic": "ci"
            }
          }
        ]
      }
    },
    {
      "id": "failed-workflow-job",
      "name": "Triage a failed workflow job",
      "description": "The job's run has the same dedupe key as above: whichever is reported first gets the mission.",
      "event_type": "github:workflow_job.completed",
      "source": "github",
      "when": "event.data.workflow_job.conclusion == 'failure'",
      "cooldown_minutes": 30,
      "cooldown_key": "{{event.data.repository.full_name}}",
      "dedupe_key": "workflow-run-{{event.data.workflow_job.run_id}}",
      "proposal_source": "github-ci",
      "template": {
        "title": "CI failed in {{event.data.repository.full_name}}: {{event.data.workflow_job.name}}",
        "risk_level": "low",
        "agent": "triage",
        "steps": [
          {
            "key": "triage",
            "kind": "noop",
            "params": {
              "instructions": "{{role.instructions}}",
              "job": "{{event.data.workflow_job.name}}",
              "run": "{{event.data.workflow_job.run_id}}",
              "steps": "{{event.data.workflow_job.steps}}"
            }
          },
          {
            "key": "record",
            "kind": "radar",
            "params": {
              "action": "add",
              "description": "Job {{steps.triage.result.echo.job}} of run {{steps.triage.result.echo.run}} failed.",
              "source_url": "{{event.data.workflow_job.html_url}}",
              "title": "CI failed in {{event.data.repository.full_name}}",
              "topic": "ci"
            }
          }
        ]
      }
    },
    {
      "id": "failed-check-run",
      "name": "Triage a failed check",
      "description": "For CI that is not GitHub Actions, whose jobs are checks too. In shadow mode: see what it would do, then make it active.",
      "mode": "shadow",
      "event_type": "github:check_run.completed",
      "source": "github",
      "when": "event.data.check_run.conclusion in ['failure', 'timed_out']",
      "cooldown_minutes": 30,
      "cooldown_key": "{{event.data.repository.full_name}}",
      "proposal_source": "github-ci",
      "template": {
        "title": "Check failed in {{event.data.repository.full_name}}: {{event.data.check_run.name}}",
        "risk_level": "low",
        "agent": "triage",
        "steps": [
          {
            "key": "record",
            "kind": "radar",
            "params": {
              "action": "add",
              "source_url": "{{event.data.check_run.html_url}}",
              "title": "Check {{event.data.check_run.name}} failed in {{event.data.repository.full_name}}",
              "topic": "ci"
            }
          }
        ]
      }
    },
    {
      "id": "new-issue",
      "name": "Triage a new issue",
      "description": "proposal_caps lets the source github-issues through 3 times a day: the fourth issue of a day is capped.",
      "event_type": "github:issues.opened",
      "source": "github",
      "proposal_source": "github-issues",
      "template": {
        "title": "Triage issue #{{event.data.issue.number}}: {{event.data.issue.title}}",
        "risk_level": "low",
        "agent": "triage",
        "steps": [
          {
            "key": "read",
            "kind": "noop",
            "params": {
              "author": "{{event.data.issue.user.login}}",
              "instructions": "{{role.instructions}}",
              "labels": "{{event.data.issue.labels}}",
              "text": "{{event.data.issue.body}}"
            }
          },
          {
            "key": "record",
            "kind": "radar",
            "params": {
              "action": "add",
              "description": "In {{event.data.repository.full_name}}, opened by {{steps.read.result.echo.author}}. {{steps.read.result.echo.text}}",
              "source_url": "{{event.data.issue.html_url}}",
              "title": "#{{event.data.issue.number}}: {{event.data.issue.title}}",
              "topic": "issues"
            }
          }
        ]
      }
    },
    {
      "id": "new-release",
      "name": "Announce a release",
      "description": "Once for each release, however often GitHub tells about it within the hour.",
      "event_type": "github:release.published",
      "source": "github",
      "when": "!event.data.release.draft && !event.data.release.prerelease",
      "cooldown_minutes": 60,
      "cooldown_key": "{{event.data.release.html_url}}",
      "proposal_source": "github-releases",
      "template": {
        "title": "Announce {{event.data.repository.full_name}} {{event.data.release.tag_name}}",
        "risk_level": "medium",
        "agent": "release",
        "steps": [
          {
            "key": "notes",
            "kind": "noop",
            "params": {
              "instructions": "{{role.instructions}}",
              "notes": "{{event.data.release.body}}",
              "version": "{{event.data.release.tag_name}}"
            }
          },
          {
            "key": "announce",
            "kind": "noop",
            "params": {
              "text": "{{event.data.repository.name}} {{steps.notes.result.echo.version}} is out. {{steps.notes.result.echo.notes}}"
            }
          },
          {
            "key": "record",
            "kind": "radar",
            "params": {
              "action": "add",
              "description": "{{steps.announce.result.echo.text}}",
              "source_url": "{{event.data.release.html_url}}",
              "title": "Released {{event.data.repository.full_name}} {{event.data.release.tag_name}}",
              "topic": "releases"
            }
          }
        ]
      }
    },
    {
      "id": "security-alert",
      "name": "Look into a security alert",
      "description": "High risk: auto_approve goes up to medium, so each of these waits for a person.",
      "event_type": [
        "github:dependabot_alert.created",
        "github:code_scanning_alert.created",
        "github:secret_scanning_alert.created"
      ],
      "source": "github",
      "dedupe_key": "security-alert-{{event.data.alert.html_url}}",
      "proposal_source": "github-security",
      "template": {
        "title": "Security alert #{{event.data.alert.number}} in {{event.data.repository.full_name}}",
        "description": "Reported as {{event.type}}: {{event.data.alert.html_url}}",
        "risk_level": "high",
        "agent": "security",
        "priority": -10,
        "steps": [
          {
            "key": "assess",
            "kind": "noop",
            "params": {
              "alert": "{{event.data.alert}}",
              "instructions": "{{role.instructions}}",
              "kind": "{{event.type}}"
            }
          },
          {
            "key": "record",
            "kind": "radar",
            "params": {
              "action": "add",
              "description": "Its state is \"{{steps.assess.result.echo.alert.state}}\".",
              "source_url": "{{event.data.alert.html_url}}",
              "title": "Security alert #{{steps.assess.result.echo.alert.number}} in {{event.data.repository.full_name}}",
              "topic": "security"
            }
          }
        ]
      }
    },
    {
      "id": "failing-missions",
      "name": "Look into missions that keep failing",
      "description": "Answers the engine's own events: three failures of one source within an hour become a task.",
      "event_type": "mission:failed",
      "threshold": {
        "count": 3,
        "within_minutes": 60,
        "key": "{{event.data.source}}"
      },
      "dedupe_key": "failing-missions-{{event.data.source}}",
      "proposal_source": "ops",
      "template": {
        "title": "Missions from {{event.data.source}} keep failing",
        "description": "The last one was \"{{event.data.title}}\".",
        "risk_level": "low",
        "agent": "triage",
        "steps": [
          {
            "key": "record",
            "kind": "radar",
            "params": {
              "action": "add",
              "description": "The last one was \"{{event.data.title}}\", mission {{event.data.mission_id}}.",
              "title": "Missions from {{event.data.source}} keep failing",
              "topic": "operations"
            }
          }
        ]
      }
    }
  ]
}$json$),
  ('auto_approve', $json${
  "enabled": true,
  "allowed_step_kinds": [
    "noop",
    "radar"
  ],
  "max_risk_level": "medium"
}$json$),
  ('proposal_caps', $json${
  "daily_limit": 200,
  "per_source": {
    "github-issues": 3
  },
  "per_agent": {},
  "per_step_kind": {},
  "per_pattern": {},
  "time_zone": "UTC"
}$json$),
  ('worker_policy', $json${
  "max_retries": 3,
  "lease_minutes": 5,
  "stale_minutes": 15,
  "backoff_base_seconds": 10,
  "backoff_max_seconds": 3600,
  "blocked_executors": [],
  "allowed_openclaw_subcommands": [
    "agent"
  ],
  "openclaw_timeout_ms": 600000,
  "allowed_commands": []
}$json$),
  ('agent_roles', $json${
  "release": {
    "instructions": "Tell users what changed and what they have to do, in plain words.",
    "tools": [],
    "temperature": 0.5
  },
  "security": {
    "instructions": "Judge whether the alert can be exploited here, and propose the smallest safe fix. Change nothing yourself.",
    "tools": [],
    "temperature": 0
  },
  "triage": {
    "instructions": "Find out what happened, how bad it is and who should know. Say what you know and what you guess.",
    "tools": [],
    "temperature": 0.2
  }
}$json$),
  ('control', $json${
  "pause": {
    "intake": false,
    "reactions": false,
    "approvals": false,
    "claims": false,
    "executors": []
  },
  "max_depth": 8,
  "max_missions_per_root_event": 50
}$json$),
  ('approvals', $json${
  "expires_minutes": 1440
}$json$),
  ('schedules', $json${
  "schedules": []
}$json$),
  ('alerts', $json${
  "enabled": true,
  "every_minutes": 1,
  "repeat_minutes": 240,
  "resolve_after_minutes": 5,
  "rules": {
    "heartbeat_failures": {
      "warning": 3,
      "critical": 5
    },
    "heartbeat_silence_minutes": {
      "warning": 15,
      "critical": 60
    },
    "worker_idle_minutes": {
      "warning": 10,
      "critical": 30
    },
    "unclaimable_minutes": {
      "warning": 10,
      "critical": 60
    },
    "proposal_latency_p95_seconds": {
      "warning": 300,
      "critical": 600
    },
    "mission_success_percent": {
      "warning": 95,
      "critical": 80
    },
    "step_error_percent": {
      "warning": 25,
      "critical": 50
    },
    "dead_letters_per_hour": {
      "warning": 5,
      "critical": 20
    },
    "queued_events": {
      "warning": 100,
      "critical": 1000
    },
    "queued_steps": {
      "warning": 50,
      "critical": 500
    },
    "proposals_per_hour": {
      "warning": 100
    },
    "average_step_seconds": {
      "warning": 600
    },
    "pattern_errors_per_hour": {
      "warning": 1
    },
    "quarantined_patterns": {
      "warning": 1
    },
    "api_error_percent": {
      "warning": 5,
      "critical": 20
    },
    "api_p99_ms": {
      "warning": 1000,
      "critical": 5000
    },
    "database_latency_ms": {
      "warning": 500,
      "critical": 2000
    },
    "connections_percent": {
      "warning": 80,
      "critical": 90
    },
    "longest_query_seconds": {
      "warning": 60,
      "critical": 600
    },
    "worker_memory_percent": {
      "warning": 80,
      "critical": 90
    },
    "backup_age_hours": {
      "warning": 26,
      "critical": 50
    },
    "service_down_minutes": {
      "warning": 0,
      "critical": 10
    },
    "channel_failures": {
      "warning": 3
    }
  },
  "violations": true,
  "channels": {
    "slack": {
      "type": "slack",
      "url_variable": "SLACK_WEBHOOK_URL"
    }
  },
  "routes": {
    "critical": [
      "slack"
    ],
    "high": [
      "slack"
    ],
    "warning": [
      "slack"
    ],
    "info": []
  }
}$json$),
  ('invariants', $json${
  "enabled": true,
  "every_minutes": 5,
  "timeout_ms": 2000,
  "checks": [],
  "skip": [],
  "expected_roles": {
    "worker": [
      "ops_worker"
    ],
    "control_plane": [
      "service_role"
    ]
  },
  "canary": {
    "enabled": true,
    "slow_seconds": 600,
    "missing_minutes": 15
  }
}$json$),
  ('retention', $json${
  "archive_after_days": 90,
  "heartbeat_days": 7,
  "batch_size": 1000
}$json$),
  ('services', $json${
  "services": {}
}$json$)
on conflict (key) do nothing;
