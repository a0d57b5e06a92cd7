import { Command } from 'commander'
import type { Health } from '../../engine/index.js'
import { withEngine } from '../session.js'
import { ago, fields, plain } from '../text.js'

export function statusCommand(): Command {
  return new Command('status')
    .description('the state of the loop: queues, workers, last heartbeat')
    .addHelpText('after', '\nExample:\n  ops-loop status --json | jq .queues')
    .action((_options: object, command: Command) =>
      withEngine(command, async (engine, answer) => {
        const health = await engine.health()
        answer(health, () => describe(health))
      }),
    )
}

function describe(health: Health): string {
  const { queues, workers } = health
  return fields({
    status: health.status,
    database: `${health.database}, Postgres ${health.postgres_version}, schema ${health.schema_version}`,
    'last heartbeat': ago(health.last_heartbeat_at),
    'live workers': workers.live,
    'events to match': queues.events,
    'reactions to run': queues.reactions,
    'proposals waiting': queues.proposals_pending,
    'missions open': queues.missions_open,
    'steps queued': queues.steps,
    'steps running': queues.steps_running,
    'oldest queued': queues.steps > 0 ? `${health.oldest_queued_seconds} s` : undefined,
    paused: pausedParts(health.paused),
  })
}

function pausedParts(paused: Health['paused']): string {
  return Object.entries(paused)
    .filter(([, value]) => (Array.isArray(value) ? value.length > 0 : value === true))
    .map(([part, value]) => (value === true ? part : `${part} ${plain(value)}`))
    .join(', ')
}
