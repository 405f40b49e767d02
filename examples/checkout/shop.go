// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"sync/atomic"
)

const (
	catalogueSize = 1000
	offersPerItem = 96
)

// An item is offered by many warehouses, each in its own currency.
type item struct {
	ID     int
	Name   string
	Stock  int64
	Offers []offer
}

type offer struct {
	Warehouse string
	Currency  string
	Price     float64
}

type quote struct {
	Warehouse string  `json:"warehouse"`
	Currency  string  `json:"currency"`
	Price     float64 `json:"price"`
	Converted float64 `json:"converted"`
}

type reservation struct {
	Item   int     `json:"item"`
	Name   string  `json:"name"`
	Best   quote   `json:"best"`
	Quotes []quote `json:"quotes"`
	Left   int64   `json:"left"`
	Token  string  `json:"token"`
}

type shop struct {
	cache *lfuCache
	key   []byte
}

var warehouses = func() (names [97]string) {
	for i := range names {
		names[i] = "warehouse-" + strconv.Itoa(i)
	}
	return names
}()

var currencies = []string{"EUR", "USD", "GBP", "CHF", "SEK", "PLN", "DKK", "NOK"}

func newShop(fixed bool) *shop {
	s := &shop{cache: newLFUCache(2*catalogueSize, fixed), key: []byte("not a secret: an example")}
	rates := make(map[string]float64)
	for i, currency := range currencies {
		rates[currency] = 1 + float64(i)/10
	}
	s.cache.Set("rates", rates)
	return s
}

// load stands for the database: it builds an item from its number.
func load(id int) *item {
	it := &item{ID: id, Name: "item-" + strconv.Itoa(id), Stock: 1 << 40}
	for i := 0; i < offersPerItem; i++ {
		it.Offers = append(it.Offers, offer{
			Warehouse: warehouses[(id+i*37)%len(warehouses)],
			Currency:  currencies[(id+i)%len(currencies)],
			Price:     10 + float64((id*31+i*17)%1000)/10,
		})
	}
	return it
}

func (s *shop) item(id int) *item {
	key := "item/" + strconv.Itoa(id)
	if found, ok := s.cache.Get(key).(*item); ok {
		return found
	}
	it := load(id)
	s.cache.Set(key, it)
	return it
}

// price compares all offers in euro. The exchange rates are one entry of the cache, read by each request: no entry is read
// as often.
func (s *shop) price(it *item) reservation {
	r := reservation{Item: it.ID, Name: it.Name}
	rates, _ := s.cache.Get("rates").(map[string]float64)
	for _, o := range it.Offers {
		q := quote{Warehouse: o.Warehouse, Currency: o.Currency, Price: o.Price,
			Converted: math.Round(100*o.Price*rates[o.Currency]) / 100}
		if len(r.Quotes) == 0 || q.Converted < r.Best.Converted {
			r.Best = q
		}
		r.Quotes = append(r.Quotes, q)
	}
	return r
}

func (s *shop) sign(r reservation) string {
	text, _ := json.Marshal(r)
	mac := hmac.New(sha256.New, s.key)
	mac.Write(text)
	return hex.EncodeToString(mac.Sum(nil))
}

// reserve answers what a reservation costs (GET) or makes it (POST). A reservation that is late already is not made.
func (s *shop) reserve(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.Atoi(r.URL.Query().Get("item"))
	if err != nil || id < 0 {
		http.Error(w, "item must be a number", http.StatusBadRequest)
		return
	}
	it := s.item(id % catalogueSize)
	made := s.price(it)
	made.Token = s.sign(made)
	if late(r.Context()) {
		http.Error(w, context.DeadlineExceeded.Error(), http.StatusServiceUnavailable)
		return
	}
	if r.Method == http.MethodPost {
		made.Left = atomic.AddInt64(&it.Stock, -1)
	}
	body, err := json.Marshal(made)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Write(body)
}
