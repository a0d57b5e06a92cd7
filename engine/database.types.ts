// Made by `npm run types:build` from supabase/migrations. Do not edit.

export type Json = string | number | boolean | null | { [key: string]: Json | undefined } | Json[]

export type Database = {
  public: {
    Tables: {
      ops_action_runs: {
        Row: {
          attempt: number | null
          completed_at: string | null
          cost_usd: number | null
          error: string | null
          executor: string | null
          id: string
          meta: NonNullable<Json>
          run_id: string | null
          started_at: string
          status: string
          step_id: string | null
          worker_id: string | null
        }
        ComputedFields: never
        Insert: {
          attempt?: number | null
          completed_at?: string | null
          cost_usd?: number | null
          error?: string | null
          executor?: string | null
          id?: string
          meta?: NonNullable<Json>
          run_id?: never
          started_at?: string
          status?: string
          step_id?: string | null
          worker_id?: string | null
        }
        Update: {
          attempt?: number | null
          completed_at?: string | null
          cost_usd?: number | null
          error?: string | null
          executor?: string | null
          id?: string
          meta?: NonNullable<Json>
          run_id?: never
          started_at?: string
          status?: string
          step_id?: string | null
          worker_id?: string | null
        }
        Relationships: [
          {
            foreignKeyName: 'ops_action_runs_step_id_fkey'
            columns: ['step_id']
            isOneToOne: false
            referencedRelation: 'ops_dead_letters'
            referencedColumns: ['step_id']
          },
          {
            foreignKeyName: 'ops_action_runs_step_id_fkey'
            columns: ['step_id']
            isOneToOne: false
            referencedRelation: 'ops_mission_steps'
            referencedColumns: ['id']
          },
          {
            foreignKeyName: 'ops_action_runs_step_id_fkey'
            columns: ['step_id']
            isOneToOne: false
            referencedRelation: 'ops_recent_failures'
            referencedColumns: ['step_id']
          },
        ]
      }
      ops_agent_events: {
        Row: {
          created_at: string
          data: NonNullable<Json>
          dedupe_key: string | null
          depth: number
          id: string
          mission_id: string | null
          processed_at: string | null
          proposal_id: string | null
          root_event_id: string | null
          round: number | null
          run_id: string | null
          type: string
        }
        ComputedFields: never
        Insert: {
          created_at?: string
          data?: NonNullable<Json>
          dedupe_key?: string | null
          depth?: number
          id?: string
          mission_id?: string | null
          processed_at?: string | null
          proposal_id?: string | null
          root_event_id?: string | null
          round?: number | null
          run_id?: string | null
          type: string
        }
        Update: {
          created_at?: string
          data?: NonNullable<Json>
          dedupe_key?: string | null
          depth?: number
          id?: string
          mission_id?: string | null
          processed_at?: string | null
          proposal_id?: string | null
          root_event_id?: string | null
          round?: number | null
          run_id?: string | null
          type?: string
        }
        Relationships: [
          {
            foreignKeyName: 'ops_agent_events_mission_fkey'
            columns: ['mission_id']
            isOneToOne: false
            referencedRelation: 'ops_missions'
            referencedColumns: ['id']
          },
          {
            foreignKeyName: 'ops_agent_events_mission_fkey'
            columns: ['mission_id']
            isOneToOne: false
            referencedRelation: 'ops_recent_failures'
            referencedColumns: ['mission_id']
          },
          {
            foreignKeyName: 'ops_agent_events_proposal_fkey'
            columns: ['proposal_id']
            isOneToOne: false
            referencedRelation: 'ops_mission_proposals'
            referencedColumns: ['id']
          },
          {
            foreignKeyName: 'ops_agent_events_run_fkey'
            columns: ['run_id']
            isOneToOne: false
            referencedRelation: 'ops_action_runs'
            referencedColumns: ['id']
          },
        ]
      }
      ops_agent_reactions: {
        Row: {
          created_at: string
          event_id: string
          id: string
          pattern_id: string | null
          payload: NonNullable<Json>
          status: string
          updated_at: string
        }
        ComputedFields: never
        Insert: {
          created_at?: string
          event_id: string
          id?: string
          pattern_id?: never
          payload?: NonNullable<Json>
          status?: string
          updated_at?: string
        }
        Update: {
          created_at?: string
          event_id?: string
          id?: string
          pattern_id?: never
          payload?: NonNullable<Json>
          status?: string
          updated_at?: string
        }
        Relationships: [
          {
            foreignKeyName: 'ops_agent_reactions_event_id_fkey'
            columns: ['event_id']
            isOneToOne: false
            referencedRelation: 'ops_agent_events'
            referencedColumns: ['id']
          },
        ]
      }
      ops_demand_radar: {
        Row: {
          confidence: string | null
          created_at: string
          curator_name: string | null
          description: string | null
          entity: string | null
          event_type: string | null
          evidence_snippet: string | null
          id: string
          impact_areas: string[]
          notes: string | null
          source_url: string | null
          stage: string
          step_id: string | null
          title: string
          topic: string | null
          updated_at: string
        }
        ComputedFields: never
        Insert: {
          confidence?: string | null
          created_at?: string
          curator_name?: string | null
          description?: string | null
          entity?: string | null
          event_type?: string | null
          evidence_snippet?: string | null
          id?: string
          impact_areas?: string[]
          notes?: string | null
          source_url?: string | null
          stage?: string
          step_id?: string | null
          title: string
          topic?: string | null
          updated_at?: string
        }
        Update: {
          confidence?: string | null
          created_at?: string
          curator_name?: string | null
          description?: string | null
          entity?: string | null
          event_type?: string | null
          evidence_snippet?: string | null
          id?: string
          impact_areas?: string[]
          notes?: string | null
          source_url?: string | null
          stage?: string
          step_id?: string | null
          title?: string
          topic?: string | null
          updated_at?: string
        }
        Relationships: [
          {
            foreignKeyName: 'ops_demand_radar_step_id_fkey'
            columns: ['step_id']
            isOneToOne: true
            referencedRelation: 'ops_dead_letters'
            referencedColumns: ['step_id']
          },
          {
            foreignKeyName: 'ops_demand_radar_step_id_fkey'
            columns: ['step_id']
            isOneToOne: true
            referencedRelation: 'ops_mission_steps'
            referencedColumns: ['id']
          },
          {
            foreignKeyName: 'ops_demand_radar_step_id_fkey'
            columns: ['step_id']
            isOneToOne: true
            referencedRelation: 'ops_recent_failures'
            referencedColumns: ['step_id']
          },
        ]
      }
      ops_mission_proposals: {
        Row: {
          approved_at: string | null
          cap_day: string | null
          code: string | null
          created_at: string
          decided_at: string | null
          decided_by: string | null
          dedupe_key: string | null
          depth: number
          digest: string | null
          expires_at: string | null
          id: string
          idempotency_key: string | null
          pattern_id: string | null
          policy_snapshot: NonNullable<Json>
          proposed_by: string | null
          reaction_id: string | null
          reason: string | null
          reserved_usd: number
          root_event_id: string | null
          source: string
          status: Database['public']['Enums']['ops_proposal_status']
          template: NonNullable<Json>
          title: string | null
          updated_at: string
          verdict: NonNullable<Json>
        }
        ComputedFields: never
        Insert: {
          approved_at?: string | null
          cap_day?: string | null
          code?: string | null
          created_at?: string
          decided_at?: string | null
          decided_by?: string | null
          dedupe_key?: string | null
          depth?: number
          digest?: string | null
          expires_at?: string | null
          id?: string
          idempotency_key?: string | null
          pattern_id?: string | null
          policy_snapshot?: NonNullable<Json>
          proposed_by?: string | null
          reaction_id?: string | null
          reason?: string | null
          reserved_usd?: number
          root_event_id?: string | null
          source: string
          status?: Database['public']['Enums']['ops_proposal_status']
          template: NonNullable<Json>
          title?: never
          updated_at?: string
          verdict?: NonNullable<Json>
        }
        Update: {
          approved_at?: string | null
          cap_day?: string | null
          code?: string | null
          created_at?: string
          decided_at?: string | null
          decided_by?: string | null
          dedupe_key?: string | null
          depth?: number
          digest?: string | null
          expires_at?: string | null
          id?: string
          idempotency_key?: string | null
          pattern_id?: string | null
          policy_snapshot?: NonNullable<Json>
          proposed_by?: string | null
          reaction_id?: string | null
          reason?: string | null
          reserved_usd?: number
          root_event_id?: string | null
          source?: string
          status?: Database['public']['Enums']['ops_proposal_status']
          template?: NonNullable<Json>
          title?: never
          updated_at?: string
          verdict?: NonNullable<Json>
        }
        Relationships: [
          {
            foreignKeyName: 'ops_mission_proposals_reaction_id_fkey'
            columns: ['reaction_id']
            isOneToOne: true
            referencedRelation: 'ops_agent_reactions'
            referencedColumns: ['id']
          },
        ]
      }
      ops_mission_steps: {
        Row: {
          agent: string | null
          attempt: number
          completed_at: string | null
          cost_reserved_usd: number
          cost_usd: number | null
          created_at: string
          declared_retries: number | null
          delay_seconds: number
          depends_on: string[]
          end_reason: string | null
          executor: string | null
          failure_count: number
          held: boolean
          id: string
          key: string
          kind: string
          last_error: string | null
          lease_expires_at: string | null
          lease_token: string | null
          max_retries: number | null
          mission_id: string
          params: NonNullable<Json>
          position: number
          priority: number
          ready: boolean
          reserved_at: string | null
          result: Json | null
          revision: number
          run_at: string
          service: string | null
          status: Database['public']['Enums']['ops_step_status']
          timeout_seconds: number | null
          updated_at: string
          uses_results: boolean
          worker_id: string | null
        }
        ComputedFields: never
        Insert: {
          agent?: string | null
          attempt?: number
          completed_at?: string | null
          cost_reserved_usd?: number
          cost_usd?: number | null
          created_at?: string
          declared_retries?: number | null
          delay_seconds?: number
          depends_on?: string[]
          end_reason?: string | null
          executor?: string | null
          failure_count?: number
          held?: boolean
          id?: string
          key?: string
          kind: string
          last_error?: string | null
          lease_expires_at?: string | null
          lease_token?: string | null
          max_retries?: number | null
          mission_id: string
          params?: NonNullable<Json>
          position?: number
          priority?: number
          ready?: boolean
          reserved_at?: string | null
          result?: Json | null
          revision?: number
          run_at?: string
          service?: string | null
          status?: Database['public']['Enums']['ops_step_status']
          timeout_seconds?: number | null
          updated_at?: string
          uses_results?: boolean
          worker_id?: string | null
        }
        Update: {
          agent?: string | null
          attempt?: number
          completed_at?: string | null
          cost_reserved_usd?: number
          cost_usd?: number | null
          created_at?: string
          declared_retries?: number | null
          delay_seconds?: number
          depends_on?: string[]
          end_reason?: string | null
          executor?: string | null
          failure_count?: number
          held?: boolean
          id?: string
          key?: string
          kind?: string
          last_error?: string | null
          lease_expires_at?: string | null
          lease_token?: string | null
          max_retries?: number | null
          mission_id?: string
          params?: NonNullable<Json>
          position?: number
          priority?: number
          ready?: boolean
          reserved_at?: string | null
          result?: Json | null
          revision?: number
          run_at?: string
          service?: string | null
          status?: Database['public']['Enums']['ops_step_status']
          timeout_seconds?: number | null
          updated_at?: string
          uses_results?: boolean
          worker_id?: string | null
        }
        Relationships: [
          {
            foreignKeyName: 'ops_mission_steps_mission_id_fkey'
            columns: ['mission_id']
            isOneToOne: false
            referencedRelation: 'ops_missions'
            referencedColumns: ['id']
          },
          {
            foreignKeyName: 'ops_mission_steps_mission_id_fkey'
            columns: ['mission_id']
            isOneToOne: false
            referencedRelation: 'ops_recent_failures'
            referencedColumns: ['mission_id']
          },
        ]
      }
      ops_missions: {
        Row: {
          agent: string | null
          completed_at: string | null
          created_at: string
          dedupe_key: string | null
          depth: number
          end_reason: string | null
          ended_by: string | null
          id: string
          policy_snapshot: NonNullable<Json>
          proposal_id: string
          root_event_id: string | null
          round: number
          source: string | null
          started_at: string | null
          status: Database['public']['Enums']['ops_mission_status']
          steps_cancelled: number
          steps_failed: number
          steps_open: number
          steps_total: number
          title: string | null
          updated_at: string
        }
        ComputedFields: never
        Insert: {
          agent?: string | null
          completed_at?: string | null
          created_at?: string
          dedupe_key?: string | null
          depth?: number
          end_reason?: string | null
          ended_by?: string | null
          id?: string
          policy_snapshot?: NonNullable<Json>
          proposal_id: string
          root_event_id?: string | null
          round?: number
          source?: string | null
          started_at?: string | null
          status?: Database['public']['Enums']['ops_mission_status']
          steps_cancelled?: number
          steps_failed?: number
          steps_open?: number
          steps_total?: number
          title?: string | null
          updated_at?: string
        }
        Update: {
          agent?: string | null
          completed_at?: string | null
          created_at?: string
          dedupe_key?: string | null
          depth?: number
          end_reason?: string | null
          ended_by?: string | null
          id?: string
          policy_snapshot?: NonNullable<Json>
          proposal_id?: string
          root_event_id?: string | null
          round?: number
          source?: string | null
          started_at?: string | null
          status?: Database['public']['Enums']['ops_mission_status']
          steps_cancelled?: number
          steps_failed?: number
          steps_open?: number
          steps_total?: number
          title?: string | null
          updated_at?: string
        }
        Relationships: [
          {
            foreignKeyName: 'ops_missions_proposal_id_fkey'
            columns: ['proposal_id']
            isOneToOne: true
            referencedRelation: 'ops_mission_proposals'
            referencedColumns: ['id']
          },
        ]
      }
      ops_policy: {
        Row: {
          key: string
          updated_at: string
          value: NonNullable<Json>
          version: number
        }
        ComputedFields: never
        Insert: {
          key: string
          updated_at?: string
          value: NonNullable<Json>
          version?: number
        }
        Update: {
          key?: string
          updated_at?: string
          value?: NonNullable<Json>
          version?: number
        }
        Relationships: []
      }
    }
    Views: {
      invariant_violations: {
        Row: {
          check_name: string
          created_at: string
          details: NonNullable<Json>
          id: string
          last_seen_at: string
          message: string
          occurrences: number
          resolved: boolean
          resolved_at: string | null
          severity: string
          subject: string
        }
        ComputedFields: never
        Insert: {
          check_name?: string | null
          created_at?: string | null
          details?: Json | null
          id?: string | null
          last_seen_at?: string | null
          message?: string | null
          occurrences?: number | null
          resolved?: boolean | null
          resolved_at?: string | null
          severity?: string | null
          subject?: string | null
        }
        Update: {
          check_name?: string | null
          created_at?: string | null
          details?: Json | null
          id?: string | null
          last_seen_at?: string | null
          message?: string | null
          occurrences?: number | null
          resolved?: boolean | null
          resolved_at?: string | null
          severity?: string | null
          subject?: string | null
        }
        Relationships: []
      }
      ops_alert_notices: {
        Row: {
          alert_id: string | null
          attempts: number
          channel: string
          created_at: string
          delivered_at: string | null
          due_at: string
          id: string
          last_error: string | null
          message: NonNullable<Json>
          number: number
          status: string
          transition: string
        }
        ComputedFields: never
        Insert: {
          alert_id?: string | null
          attempts?: number | null
          channel?: string | null
          created_at?: string | null
          delivered_at?: string | null
          due_at?: string | null
          id?: string | null
          last_error?: string | null
          message?: Json | null
          number?: number | null
          status?: string | null
          transition?: string | null
        }
        Update: {
          alert_id?: string | null
          attempts?: number | null
          channel?: string | null
          created_at?: string | null
          delivered_at?: string | null
          due_at?: string | null
          id?: string | null
          last_error?: string | null
          message?: Json | null
          number?: number | null
          status?: string | null
          transition?: string | null
        }
        Relationships: [
          {
            foreignKeyName: 'alert_notices_alert_id_fkey'
            columns: ['alert_id']
            isOneToOne: false
            referencedRelation: 'ops_alerts'
            referencedColumns: ['id']
          },
        ]
      }
      ops_alerts: {
        Row: {
          acknowledged_at: string | null
          acknowledged_by: string | null
          id: string
          last_seen_at: string
          note: string | null
          notices: number
          opened_at: string
          priority: string | null
          resolved_at: string | null
          rule: string
          severity: string
          status: string
          subject: string
          summary: string
          threshold: number | null
          value: number | null
        }
        ComputedFields: never
        Insert: {
          acknowledged_at?: string | null
          acknowledged_by?: string | null
          id?: string | null
          last_seen_at?: string | null
          note?: string | null
          notices?: number | null
          opened_at?: string | null
          priority?: never
          resolved_at?: string | null
          rule?: string | null
          severity?: string | null
          status?: string | null
          subject?: string | null
          summary?: string | null
          threshold?: number | null
          value?: number | null
        }
        Update: {
          acknowledged_at?: string | null
          acknowledged_by?: string | null
          id?: string | null
          last_seen_at?: string | null
          note?: string | null
          notices?: number | null
          opened_at?: string | null
          priority?: never
          resolved_at?: string | null
          rule?: string | null
          severity?: string | null
          status?: string | null
          subject?: string | null
          summary?: string | null
          threshold?: number | null
          value?: number | null
        }
        Relationships: []
      }
      ops_canary: {
        Row: {
          event_id: string | null
          event_ms: number | null
          gate_ms: number | null
          id: string
          pattern_ms: number | null
          pickup_ms: number | null
          reason: string | null
          returned_at: string | null
          sent_at: string
          status: string
          step_ms: number | null
          total_ms: number | null
        }
        ComputedFields: never
        Insert: {
          event_id?: string | null
          event_ms?: never
          gate_ms?: never
          id?: string | null
          pattern_ms?: never
          pickup_ms?: never
          reason?: string | null
          returned_at?: string | null
          sent_at?: string | null
          status?: string | null
          step_ms?: never
          total_ms?: never
        }
        Update: {
          event_id?: string | null
          event_ms?: never
          gate_ms?: never
          id?: string | null
          pattern_ms?: never
          pickup_ms?: never
          reason?: string | null
          returned_at?: string | null
          sent_at?: string | null
          status?: string | null
          step_ms?: never
          total_ms?: never
        }
        Relationships: []
      }
      ops_check_runs: {
        Row: {
          duration_ms: number
          error: string | null
          name: string
          outcome: string
          ran_at: string
          runs: number
          violations: number
        }
        ComputedFields: never
        Insert: {
          duration_ms?: number | null
          error?: string | null
          name?: string | null
          outcome?: string | null
          ran_at?: string | null
          runs?: number | null
          violations?: number | null
        }
        Update: {
          duration_ms?: number | null
          error?: string | null
          name?: string | null
          outcome?: string | null
          ran_at?: string | null
          runs?: number | null
          violations?: number | null
        }
        Relationships: []
      }
      ops_dead_letter_rate: {
        Row: {
          day: string | null
          dead_letters: number | null
        }
        ComputedFields: never
        Relationships: []
      }
      ops_dead_letters: {
        Row: {
          end_reason: string | null
          executor: string | null
          failure_count: number
          kind: string
          last_error: string | null
          max_retries: number | null
          mission_id: string
          mission_status: Database['public']['Enums']['ops_mission_status']
          mission_title: string | null
          proposal_source: string | null
          step_id: string
          updated_at: string
        }
        ComputedFields: never
        Relationships: [
          {
            foreignKeyName: 'ops_mission_steps_mission_id_fkey'
            columns: ['mission_id']
            isOneToOne: false
            referencedRelation: 'ops_missions'
            referencedColumns: ['id']
          },
          {
            foreignKeyName: 'ops_mission_steps_mission_id_fkey'
            columns: ['mission_id']
            isOneToOne: false
            referencedRelation: 'ops_recent_failures'
            referencedColumns: ['mission_id']
          },
        ]
      }
      ops_heartbeat_health: {
        Row: {
          failures: number | null
          hour: string | null
          successes: number | null
        }
        ComputedFields: never
        Relationships: []
      }
      ops_held_steps: {
        Row: {
          agent: string | null
          attempt: number
          executor: string | null
          kind: string
          lease_expires_at: string | null
          mission_id: string
          mission_title: string | null
          reserved_at: string | null
          step_id: string
          worker_id: string | null
        }
        ComputedFields: never
        Relationships: []
      }
      ops_mission_success_rate: {
        Row: {
          day: string | null
          succeeded: number | null
          success_rate_pct: number | null
          total_missions: number | null
        }
        ComputedFields: never
        Relationships: []
      }
      ops_pattern_effectiveness: {
        Row: {
          mode: string | null
          pattern_id: string | null
          reactions_created: number | null
        }
        ComputedFields: never
        Relationships: []
      }
      ops_policy_audit: {
        Row: {
          action: string
          actor: NonNullable<Json>
          changed_at: string
          changed_by: string
          id: string
          new_value: Json | null
          new_version: number | null
          old_value: Json | null
          old_version: number | null
          policy_key: string
        }
        ComputedFields: never
        Insert: {
          action?: string | null
          actor?: Json | null
          changed_at?: string | null
          changed_by?: string | null
          id?: string | null
          new_value?: Json | null
          new_version?: number | null
          old_value?: Json | null
          old_version?: number | null
          policy_key?: string | null
        }
        Update: {
          action?: string | null
          actor?: Json | null
          changed_at?: string | null
          changed_by?: string | null
          id?: string | null
          new_value?: Json | null
          new_version?: number | null
          old_value?: Json | null
          old_version?: number | null
          policy_key?: string | null
        }
        Relationships: []
      }
      ops_policy_compliance: {
        Row: {
          budget_usd: number | null
          day: string | null
          limit: number | null
          name: string | null
          scope: string | null
          used: number | null
          used_usd: number | null
        }
        ComputedFields: never
        Relationships: []
      }
      ops_policy_history: {
        Row: {
          changed_by: string
          key: string
          updated_at: string
          value: NonNullable<Json>
          version: number
        }
        ComputedFields: never
        Insert: {
          changed_by?: string | null
          key?: string | null
          updated_at?: string | null
          value?: Json | null
          version?: number | null
        }
        Update: {
          changed_by?: string | null
          key?: string | null
          updated_at?: string | null
          value?: Json | null
          version?: number | null
        }
        Relationships: []
      }
      ops_proposal_latency: {
        Row: {
          avg_latency_seconds: number | null
          p50_latency: number | null
          p95_latency: number | null
          p99_latency: number | null
          proposals: number | null
        }
        ComputedFields: never
        Relationships: []
      }
      ops_proposal_rate: {
        Row: {
          day: string | null
          proposals: number | null
          rejected: number | null
          source: string
        }
        ComputedFields: never
        Relationships: []
      }
      ops_queue_depth: {
        Row: {
          count: number | null
          metric: string | null
        }
        ComputedFields: never
        Relationships: []
      }
      ops_reactions_and_shadows: {
        Row: {
          created_at: string | null
          event_id: string | null
          id: string | null
          mode: string | null
          pattern_id: string | null
          payload: Json | null
          status: string | null
        }
        ComputedFields: never
        Relationships: []
      }
      ops_recent_failures: {
        Row: {
          executor: string | null
          failure_count: number
          kind: string
          last_error: string | null
          mission_id: string
          proposal_source: string | null
          step_id: string
          updated_at: string
        }
        ComputedFields: never
        Relationships: []
      }
      ops_schedules: {
        Row: {
          cron: string | null
          event_type: string | null
          id: string
          next_at: string | null
          settled_until: string
          time_zone: string | null
        }
        ComputedFields: never
        Insert: {
          cron?: never
          event_type?: never
          id?: string | null
          next_at?: never
          settled_until?: string | null
          time_zone?: never
        }
        Update: {
          cron?: never
          event_type?: never
          id?: string | null
          next_at?: never
          settled_until?: string | null
          time_zone?: never
        }
        Relationships: []
      }
      ops_services: {
        Row: {
          checked_at: string | null
          checks_last_day: number | null
          error: string | null
          failures: number
          healthy: boolean | null
          healthy_percent_last_day: number | null
          http_status: number | null
          latency_ms: number | null
          name: string
          next_check_at: string
          opened_at: string | null
          state: string
        }
        ComputedFields: never
        Relationships: []
      }
      ops_silences: {
        Row: {
          actor: string
          created_at: string
          id: string
          reason: string
          rule: string
          subject: string | null
          until: string
        }
        ComputedFields: never
        Insert: {
          actor?: string | null
          created_at?: string | null
          id?: string | null
          reason?: string | null
          rule?: string | null
          subject?: string | null
          until?: string | null
        }
        Update: {
          actor?: string | null
          created_at?: string | null
          id?: string | null
          reason?: string | null
          rule?: string | null
          subject?: string | null
          until?: string | null
        }
        Relationships: []
      }
      ops_step_durations: {
        Row: {
          avg_attempt_seconds: number | null
          avg_duration_seconds: number | null
          kind: string
          p95_duration_seconds: number | null
          total_steps: number | null
        }
        ComputedFields: never
        Relationships: []
      }
      ops_system_health: {
        Row: {
          failed_missions: number | null
          failed_steps: number | null
          pending_proposals: number | null
          processing_reactions: number | null
          queued_reactions: number | null
          queued_steps: number | null
          recent_events: number | null
          recent_proposals: number | null
          running_missions: number | null
          running_steps: number | null
          unprocessed_events: number | null
        }
        ComputedFields: never
        Relationships: []
      }
      ops_table_sizes: {
        Row: {
          rows_estimated: number | null
          schema: string | null
          table: string | null
          table_size: string | null
          total_bytes: number | null
          total_size: string | null
        }
        ComputedFields: never
        Relationships: []
      }
      ops_unclaimable_steps: {
        Row: {
          executor: string | null
          oldest_run_at: string | null
          steps: number | null
        }
        ComputedFields: never
        Relationships: []
      }
      ops_worker_activity: {
        Row: {
          failed: number | null
          hour: string | null
          steps_claimed: number | null
          succeeded: number | null
        }
        ComputedFields: never
        Relationships: []
      }
      ops_workers: {
        Row: {
          concurrency: number
          executors: string[]
          id: string
          last_seen_at: string
          live: boolean | null
          name: string
          registered_at: string
          role: string
          version: string
        }
        ComputedFields: never
        Insert: {
          concurrency?: number | null
          executors?: string[] | null
          id?: string | null
          last_seen_at?: string | null
          live?: never
          name?: string | null
          registered_at?: string | null
          role?: string | null
          version?: string | null
        }
        Update: {
          concurrency?: number | null
          executors?: string[] | null
          id?: string | null
          last_seen_at?: string | null
          live?: never
          name?: string | null
          registered_at?: string | null
          role?: string | null
          version?: string | null
        }
        Relationships: []
      }
    }
    Functions: {
      ops_acknowledge_alert: { Args: { p_actor: string; p_alert_id: string; p_note?: string }; Returns: Json }
      ops_apply_policies: {
        Args: { p_actor?: string; p_policies: Json }
        Returns: {
          key: string
          outcome: string
          previous_version: number
          version: number
        }[]
      }
      ops_approve_proposal: {
        Args: { p_actor: string; p_digest?: string; p_note?: string; p_proposal_id: string }
        Returns: {
          code: string
          mission_id: string
          proposal_id: string
          reason: string
          status: string
          verdict: Json
        }[]
      }
      ops_archive: {
        Args: { p_limit?: number; p_older_than: string }
        Returns: {
          chains: number
          rows: number
        }[]
      }
      ops_begin_checks: { Args: Record<PropertyKey, never>; Returns: Json }
      ops_cancel_mission: {
        Args: { p_actor: string; p_mission_id: string; p_reason?: string }
        Returns: {
          cancelled_steps: number
          mission_id: string
          status: string
        }[]
      }
      ops_cancel_step: {
        Args: { p_actor: string; p_reason?: string; p_step_id: string }
        Returns: {
          mission_status: string
          status: string
          step_id: string
        }[]
      }
      ops_cap_usage: {
        Args: Record<PropertyKey, never>
        Returns: {
          day: string
          max_units: number
          max_usd: number
          name: string
          scope: string
          used: number
          used_usd: number
        }[]
      }
      ops_claim_next_step: {
        Args: { p_lease_minutes: number }
        Returns: {
          agent: string | null
          attempt: number
          completed_at: string | null
          cost_reserved_usd: number
          cost_usd: number | null
          created_at: string
          declared_retries: number | null
          delay_seconds: number
          depends_on: string[]
          end_reason: string | null
          executor: string | null
          failure_count: number
          held: boolean
          id: string
          key: string
          kind: string
          last_error: string | null
          lease_expires_at: string | null
          lease_token: string | null
          max_retries: number | null
          mission_id: string
          params: NonNullable<Json>
          position: number
          priority: number
          ready: boolean
          reserved_at: string | null
          result: Json | null
          revision: number
          run_at: string
          service: string | null
          status: Database['public']['Enums']['ops_step_status']
          timeout_seconds: number | null
          updated_at: string
          uses_results: boolean
          worker_id: string | null
        }[]
        SetofOptions: {
          from: '*'
          to: 'ops_mission_steps'
          isOneToOne: false
          isSetofReturn: true
        }
      }
      ops_claim_notices: {
        Args: { p_lease_seconds?: number; p_limit?: number }
        Returns: {
          attempt: number
          channel: string
          config: Json
          id: string
          message: Json
          token: string
        }[]
      }
      ops_claim_silence_notices: {
        Args: { p_channels: string[]; p_lease_seconds?: number }
        Returns: {
          attempt: number
          channel: string
          config: Json
          id: string
          message: Json
          token: string
        }[]
      }
      ops_claim_steps: {
        Args: {
          p_executors: string[]
          p_handed?: boolean
          p_lease_seconds?: number
          p_limit: number
          p_past?: Json
          p_room?: Json
          p_worker_id: string
        }
        Returns: {
          agent: string
          attempt: number
          depth: number
          executor: string
          failure_count: number
          inputs: Json
          key: string
          kind: string
          lease_expires_at: string
          lease_seconds: number
          max_retries: number
          mission_id: string
          mission_title: string
          params: Json
          priority: number
          run_at: string
          step_id: string
          timeout_seconds: number
          token: string
        }[]
      }
      ops_complete_steps: {
        Args: { p_results: Json }
        Returns: {
          mission_id: string
          mission_status: string
          outcome: string
          step_id: string
        }[]
      }
      ops_count_requests: {
        Args: { p_caller: string; p_requests: number }
        Returns: {
          requests: number
          seconds_left: number
        }[]
      }
      ops_create_mission_from_proposal: { Args: { p_proposal_id: string }; Returns: string }
      ops_create_proposal_and_maybe_autoapprove: {
        Args: { p_dedupe_key: string; p_source: string; p_template: Json }
        Returns: {
          code: string
          mission_id: string
          proposal_id: string
          reason: string
          status: string
          verdict: Json
        }[]
      }
      ops_create_proposals: {
        Args: { p_proposals: Json }
        Returns: {
          code: string
          mission_id: string
          ordinal: number
          proposal_id: string
          reason: string
          status: string
          verdict: Json
        }[]
      }
      ops_define_check: {
        Args: { p_description: string; p_name: string; p_severity: string; p_sql: string }
        Returns: undefined
      }
      ops_doctor: { Args: Record<PropertyKey, never>; Returns: Json }
      ops_due_schedules: {
        Args: { p_limit?: number }
        Returns: {
          cron: string
          missed: string
          now: string
          schedule_id: string
          settled_until: string
          time_zone: string
        }[]
      }
      ops_emit_events: {
        Args: { p_events: Json }
        Returns: {
          event_id: string
          ordinal: number
          outcome: string
        }[]
      }
      ops_evaluate_alerts: { Args: { p_reports?: Json }; Returns: number }
      ops_expire_proposals: { Args: { p_limit?: number }; Returns: number }
      ops_extract_step_kinds: { Args: { p_template: Json }; Returns: string[] }
      ops_fail_steps: {
        Args: { p_failures: Json }
        Returns: {
          mission_id: string
          mission_status: string
          outcome: string
          run_at: string
          step_id: string
          step_status: string
        }[]
      }
      ops_gate_proposal:
        | {
            Args: { p_proposal_id: string }
            Returns: {
              code: string
              ok: boolean
              reason: string
              verdict: Json
            }[]
          }
        | {
            Args: { p_template: Json }
            Returns: {
              code: string
              ok: boolean
              reason: string
              verdict: Json
            }[]
          }
      ops_handed_steps: {
        Args: { p_worker_id: string }
        Returns: {
          agent: string
          attempt: number
          depth: number
          executor: string
          failure_count: number
          inputs: Json
          key: string
          kind: string
          lease_expires_at: string
          lease_seconds: number
          max_retries: number
          mission_id: string
          mission_title: string
          params: Json
          priority: number
          run_at: string
          step_id: string
          timeout_seconds: number
          token: string
        }[]
      }
      ops_health: { Args: Record<PropertyKey, never>; Returns: Json }
      ops_hold: {
        Args: Record<PropertyKey, never>
        Returns: {
          counted_up_to: number
          held: boolean
          here: string
          home: string
          home_since: string
          steps_queued: number
          steps_running: number
        }[]
      }
      ops_housekeeping: {
        Args: { p_every_minutes?: number; p_limit?: number }
        Returns: {
          archived_chains: number
          deleted_rows: number
          forgotten_rows: number
          more: boolean
        }[]
      }
      ops_is_auto_approvable: { Args: { p_template: Json }; Returns: boolean }
      ops_list_alerts: { Args: { p_after?: string; p_filter?: Json; p_limit?: number }; Returns: Json[] }
      ops_list_checks: { Args: Record<PropertyKey, never>; Returns: Json[] }
      ops_list_events: { Args: { p_after?: string; p_filter?: Json; p_limit?: number }; Returns: Json[] }
      ops_list_missions: { Args: { p_after?: string; p_filter?: Json; p_limit?: number }; Returns: Json[] }
      ops_list_proposals: { Args: { p_after?: string; p_filter?: Json; p_limit?: number }; Returns: Json[] }
      ops_list_services: { Args: Record<PropertyKey, never>; Returns: Json[] }
      ops_list_steps: { Args: { p_after?: string; p_filter?: Json; p_limit?: number }; Returns: Json[] }
      ops_list_violations: { Args: { p_after?: string; p_filter?: Json; p_limit?: number }; Returns: Json[] }
      ops_maybe_finalize_mission: { Args: { p_mission_id: string }; Returns: undefined }
      ops_metrics: { Args: Record<PropertyKey, never>; Returns: Json }
      ops_overview: { Args: Record<PropertyKey, never>; Returns: Json }
      ops_pending_events: {
        Args: { p_after?: string; p_limit: number }
        Returns: {
          created_at: string
          data: Json
          depth: number
          event_id: string
          root_event_id: string
          type: string
        }[]
      }
      ops_policies_at: {
        Args: { p_at: string }
        Returns: {
          key: string
          updated_at: string
          value: Json
          version: number
        }[]
      }
      ops_policy_changes: {
        Args: { p_key?: string; p_limit?: number }
        Returns: {
          action: string
          actor: Json
          changed_at: string
          changed_by: string
          key: string
          previous_value: Json
          previous_version: number
          value: Json
          version: number
        }[]
      }
      ops_policy_rollback: { Args: { p_actor?: string; p_key: string; p_version: number }; Returns: number }
      ops_radar_add: {
        Args: { p_item: Json; p_step_id?: string }
        Returns: {
          created: boolean
          id: string
          stage: string
        }[]
      }
      ops_radar_list: { Args: { p_limit?: number; p_stage?: string }; Returns: Json[] }
      ops_radar_update: {
        Args: { p_changes: Json; p_id: string }
        Returns: {
          id: string
          previous_stage: string
          stage: string
        }[]
      }
      ops_read_policies: {
        Args: { p_keys?: string[]; p_known?: Json }
        Returns: {
          key: string
          updated_at: string
          value: Json
          version: number
        }[]
      }
      ops_record_heartbeat: { Args: { p_ok: boolean; p_report: Json }; Returns: string }
      ops_record_notice: {
        Args: {
          p_after_seconds?: number
          p_detail?: Json
          p_error?: string
          p_id: string
          p_outcome: string
          p_token: string
        }
        Returns: string
      }
      ops_record_service_check: {
        Args: {
          p_error?: string
          p_http_status?: number
          p_latency_ms?: number
          p_name: string
          p_ok: boolean
        }
        Returns: string
      }
      ops_recording: { Args: { p_from: string; p_most?: number; p_to: string }; Returns: Json }
      ops_recover_expired_leases: {
        Args: { p_limit?: number }
        Returns: {
          failed_steps: number
          requeued_steps: number
        }[]
      }
      ops_recover_stale_steps: {
        Args: { p_limit?: number; p_threshold_minutes?: number }
        Returns: {
          recovered_steps: number
        }[]
      }
      ops_register_worker: {
        Args: {
          p_concurrency: number
          p_executors: string[]
          p_name: string
          p_schema_version: number
          p_settings?: Json
          p_version: string
        }
        Returns: Json
      }
      ops_reject_proposal: {
        Args: { p_actor: string; p_note?: string; p_proposal_id: string }
        Returns: {
          code: string
          mission_id: string
          proposal_id: string
          reason: string
          status: string
          verdict: Json
        }[]
      }
      ops_release_hold: {
        Args: { p_actor: string }
        Returns: {
          released: boolean
          steps_running: number
        }[]
      }
      ops_release_steps: {
        Args: { p_leases: Json }
        Returns: {
          outcome: string
          step_id: string
        }[]
      }
      ops_renew_steps: {
        Args: { p_lease_seconds?: number; p_leases: Json }
        Returns: {
          lease_expires_at: string
          outcome: string
          step_id: string
        }[]
      }
      ops_report: { Args: { p_details?: Json; p_name: string; p_value: number }; Returns: undefined }
      ops_retry_dead_steps: {
        Args: { p_actor?: string; p_kind?: string; p_limit?: number }
        Returns: {
          mission_id: string
          step_id: string
        }[]
      }
      ops_retry_step: {
        Args: { p_actor: string; p_step_id: string }
        Returns: {
          mission_id: string
          mission_status: string
          reopened_steps: number
          status: string
          step_id: string
        }[]
      }
      ops_roll_up_metrics: { Args: Record<PropertyKey, never>; Returns: boolean }
      ops_run_checks: {
        Args: { p_everything?: boolean; p_names?: string[] }
        Returns: {
          duration_ms: number
          error: string
          name: string
          outcome: string
          severity: string
          violations: number
        }[]
      }
      ops_run_reactions: {
        Args: { p_limit: number }
        Returns: {
          code: string
          mission_id: string
          proposal_id: string
          proposal_status: string
          reaction_id: string
          reason: string
          status: string
        }[]
      }
      ops_send_canary: { Args: Record<PropertyKey, never>; Returns: boolean }
      ops_settle_events: {
        Args: { p_after?: string; p_events: Json; p_matches?: Json; p_policy_version: number }
        Returns: {
          event_id: string
          outcome: string
          queued: number
        }[]
      }
      ops_settle_schedules: {
        Args: { p_items: Json }
        Returns: {
          events: number
          outcome: string
          schedule_id: string
        }[]
      }
      ops_silence_alerts: {
        Args: { p_actor: string; p_minutes: number; p_reason: string; p_rule: string; p_subject?: string }
        Returns: {
          silence_id: string
          until: string
        }[]
      }
      ops_snooze_steps: {
        Args: { p_snoozes: Json }
        Returns: {
          outcome: string
          run_at: string
          step_id: string
        }[]
      }
      ops_take_service_checks: {
        Args: { p_limit?: number }
        Returns: {
          config: Json
          name: string
        }[]
      }
      ops_timeline: {
        Args: { p_limit?: number; p_since: string }
        Returns: {
          at: string
          details: Json
          entity: string
          id: string
          root_event_id: string
          status: string
          summary: string
        }[]
      }
      ops_trace: {
        Args: { p_id: string }
        Returns: {
          at: string
          details: Json
          entity: string
          id: string
          parent_id: string
          position: number
          status: string
          summary: string
        }[]
      }
      ops_watch_heartbeat: { Args: Record<PropertyKey, never>; Returns: Json }
      ops_watch_state: { Args: Record<PropertyKey, never>; Returns: Json }
      ops_why: {
        Args: { p_event_id: string }
        Returns: {
          decision: string
          detail: Json
          pattern_id: string
          reaction_id: string
        }[]
      }
      ops_worker_heartbeat: {
        Args: {
          p_channel?: string
          p_health?: Json
          p_lease_seconds?: number
          p_listening?: boolean
          p_takes?: string[]
          p_worker_id: string
        }
        Returns: Json
      }
    }
    Enums: {
      ops_mission_status: 'approved' | 'running' | 'succeeded' | 'failed' | 'cancelled'
      ops_proposal_status: 'pending' | 'approved' | 'rejected' | 'auto_approved' | 'expired'
      ops_step_status: 'waiting' | 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled'
    }
    CompositeTypes: {
      [_ in never]: never
    }
  }
}

type DatabaseWithoutInternals = Omit<Database, '__InternalSupabase'>

type DefaultSchema = DatabaseWithoutInternals[Extract<keyof Database, 'public'>]

export type Tables<
  DefaultSchemaTableNameOrOptions extends
    | keyof (DefaultSchema['Tables'] & DefaultSchema['Views'])
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof (DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions['schema']]['Tables'] &
        DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions['schema']]['Views'])
    : never = never,
> = DefaultSchemaTableNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? (DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions['schema']]['Tables'] &
      DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions['schema']]['Views'])[TableName] extends {
      Row: infer R
    }
    ? R
    : never
  : DefaultSchemaTableNameOrOptions extends keyof (DefaultSchema['Tables'] & DefaultSchema['Views'])
    ? (DefaultSchema['Tables'] & DefaultSchema['Views'])[DefaultSchemaTableNameOrOptions] extends {
        Row: infer R
      }
      ? R
      : never
    : never

export type TablesInsert<
  DefaultSchemaTableNameOrOptions extends
    | keyof DefaultSchema['Tables']
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions['schema']]['Tables']
    : never = never,
> = DefaultSchemaTableNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions['schema']]['Tables'][TableName] extends {
      Insert: infer I
    }
    ? I
    : never
  : DefaultSchemaTableNameOrOptions extends keyof DefaultSchema['Tables']
    ? DefaultSchema['Tables'][DefaultSchemaTableNameOrOptions] extends {
        Insert: infer I
      }
      ? I
      : never
    : never

export type TablesUpdate<
  DefaultSchemaTableNameOrOptions extends
    | keyof DefaultSchema['Tables']
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions['schema']]['Tables']
    : never = never,
> = DefaultSchemaTableNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions['schema']]['Tables'][TableName] extends {
      Update: infer U
    }
    ? U
    : never
  : DefaultSchemaTableNameOrOptions extends keyof DefaultSchema['Tables']
    ? DefaultSchema['Tables'][DefaultSchemaTableNameOrOptions] extends {
        Update: infer U
      }
      ? U
      : never
    : never

export type Enums<
  DefaultSchemaEnumNameOrOptions extends
    | keyof DefaultSchema['Enums']
    | { schema: keyof DatabaseWithoutInternals },
  EnumName extends DefaultSchemaEnumNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof DatabaseWithoutInternals[DefaultSchemaEnumNameOrOptions['schema']]['Enums']
    : never = never,
> = DefaultSchemaEnumNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[DefaultSchemaEnumNameOrOptions['schema']]['Enums'][EnumName]
  : DefaultSchemaEnumNameOrOptions extends keyof DefaultSchema['Enums']
    ? DefaultSchema['Enums'][DefaultSchemaEnumNameOrOptions]
    : never

export type CompositeTypes<
  PublicCompositeTypeNameOrOptions extends
    | keyof DefaultSchema['CompositeTypes']
    | { schema: keyof DatabaseWithoutInternals },
  CompositeTypeName extends PublicCompositeTypeNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof DatabaseWithoutInternals[PublicCompositeTypeNameOrOptions['schema']]['CompositeTypes']
    : never = never,
> = PublicCompositeTypeNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[PublicCompositeTypeNameOrOptions['schema']]['CompositeTypes'][CompositeTypeName]
  : PublicCompositeTypeNameOrOptions extends keyof DefaultSchema['CompositeTypes']
    ? DefaultSchema['CompositeTypes'][PublicCompositeTypeNameOrOptions]
    : never

export const Constants = {
  public: {
    Enums: {
      ops_mission_status: ['approved', 'running', 'succeeded', 'failed', 'cancelled'],
      ops_proposal_status: ['pending', 'approved', 'rejected', 'auto_approved', 'expired'],
      ops_step_status: ['waiting', 'queued', 'running', 'succeeded', 'failed', 'cancelled'],
    },
  },
} as const
