// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

var (
	requests = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "http_requests_total", Help: "Requests answered, by code, route and method.",
	}, []string{"code", "route", "method"})
	durations = promauto.NewHistogramVec(prometheus.HistogramOpts{
		Name: "http_request_duration_seconds", Help: "From a request's start to its answer.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5},
	}, []string{"route"})
)

// started says when the caller began to wait: the proxy in front stamps X-Request-Start with "t=" and seconds since 1970,
// as nginx and many others do. What a request waits in sockets and run queues before its handler runs counts, too; a
// service that starts its clock in the handler sees nothing of it. Without a plausible stamp the clock starts here.
func started(r *http.Request) time.Time {
	now := time.Now()
	stamp := r.Header.Get("X-Request-Start")
	if !strings.HasPrefix(stamp, "t=") {
		return now
	}
	seconds, err := strconv.ParseFloat(stamp[2:], 64)
	then := time.UnixMicro(int64(seconds * 1e6))
	if err != nil || then.After(now) || now.Sub(then) > time.Minute {
		return now
	}
	return then
}

// withDeadline gives a request until `limit` after its start. One that is late before it begins is refused at once:
// nobody waits for its answer any more.
func withDeadline(limit time.Duration, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithDeadline(r.Context(), started(r).Add(limit))
		defer cancel()
		if late(ctx) {
			http.Error(w, context.DeadlineExceeded.Error(), http.StatusServiceUnavailable)
			return
		}
		next(w, r.WithContext(ctx))
	}
}

// late asks the clock: a context's own timer may be as late as everything else.
func late(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ok && time.Now().After(deadline)
}

type codeWriter struct {
	http.ResponseWriter
	code int
}

func (w *codeWriter) WriteHeader(code int) {
	w.code = code
	w.ResponseWriter.WriteHeader(code)
}

// observed counts and times the requests of one route.
func observed(route string, next http.HandlerFunc) http.Handler {
	duration := durations.WithLabelValues(route)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := started(r)
		coded := &codeWriter{ResponseWriter: w, code: http.StatusOK}
		next(coded, r)
		duration.Observe(time.Since(start).Seconds())
		requests.WithLabelValues(strconv.Itoa(coded.code), route, r.Method).Inc()
	})
}
