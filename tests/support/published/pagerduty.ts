// Events of the Events API v2, by the types that PagerDuty publishes for its own client.

import type { EventPayloadV2 } from '@pagerduty/pdjs/build/src/events';

// The client asks for a payload with each event, the service with those alone that trigger; and `client` is documented
// alone: https://developer.pagerduty.com/docs/send-alert-event
type Trigger = EventPayloadV2 & { event_action: 'trigger'; client?: string; client_url?: string };
type Follow = Omit<EventPayloadV2, 'payload' | 'images' | 'links'> & { event_action: 'acknowledge' | 'resolve'; dedup_key: string };

export type Body = Trigger | Follow;
