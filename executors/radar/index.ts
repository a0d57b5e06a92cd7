import { z } from 'zod'
import type { RadarStage } from '../../engine/types.js'
import { defineExecutor, done, type ExecutorContext } from '../define.js'

const stage = z.enum(['watching', 'validating', 'building', 'shipped']) satisfies z.ZodType<RadarStage>

const changeable = {
  title: z.string().min(1).max(300),
  description: z.string().optional(),
  stage: stage.optional(),
  notes: z.string().optional(),
  topic: z.string().optional(),
  source_url: z.string().optional(),
  evidence_snippet: z.string().optional(),
  confidence: z.enum(['low', 'medium', 'high']).optional(),
}

const add = z.strictObject({
  action: z.literal('add'),
  ...changeable,
  entity: z.string().optional(),
  event_type: z.string().optional(),
  impact_areas: z.array(z.string()).optional(),
  curator_name: z.string().optional(),
})

const update = z.strictObject({
  action: z.literal('update'),
  id: z.uuid(),
  ...changeable,
  title: changeable.title.optional(),
})

const list = z.strictObject({
  action: z.literal('list'),
  stage: stage.optional(),
  /** Newest first. */
  limit: z.number().int().min(1).max(200).optional(),
})

/** Keeps the demand radar, `ops_demand_radar`: add a signal, move it on, list what is there. */
export default defineExecutor({
  kind: 'radar',
  params: z.discriminatedUnion('action', [add, update, list]),
  async run({ params, ...context }) {
    switch (params.action) {
      case 'add':
        return addItem({ ...context, params })
      case 'update':
        return updateItem({ ...context, params })
      case 'list':
        return done({ items: await context.engine.radarList(params.stage, params.limit) })
    }
  },
})

async function addItem({ params, engine, idempotencyKey, emit }: ExecutorContext<z.output<typeof add>>) {
  const { action: _, ...item } = params
  const added = await engine.radarAdd(item, idempotencyKey)
  // Also when an earlier attempt created the item: that attempt did not live to record its event.
  emit({
    type: `radar:${added.stage}`,
    data: { radar_id: added.id, title: item.title, stage: added.stage },
    dedupe_key: `radar:${idempotencyKey}`,
  })
  return done(added)
}

async function updateItem(context: ExecutorContext<z.output<typeof update>>) {
  const { params, engine, idempotencyKey, attempt, emit } = context
  const { action: _, id, ...changes } = params
  const updated = await engine.radarUpdate(id, changes)
  // A repeated attempt finds the stage already changed by the one before it.
  const moved = updated.previous_stage !== updated.stage || (changes.stage !== undefined && attempt > 1)
  if (moved) {
    emit({
      type: `radar:${updated.stage}`,
      data: { radar_id: id, stage: updated.stage, previous_stage: updated.previous_stage },
      dedupe_key: `radar:${idempotencyKey}`,
    })
  }
  return done(updated)
}
