// Puts a concert on sale and buys two seats with a client that openapi-generator made of schema/openapi.json.
//
//	ONSALE_TEST_ORGANIZER=osk_… go run . http://127.0.0.1:8080
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"onsale.dev/buy/onsale"
)

func fail(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", arguments...)
	os.Exit(1)
}

// ok is what was answered; otherwise it ends with what the problem says.
func ok[T any](answered T, response *http.Response, err error) (T, *http.Response) {
	if err != nil {
		var refused *onsale.GenericOpenAPIError
		if errors.As(err, &refused) {
			fail("%v: %s", err, refused.Body())
		}
		fail("%v", err)
	}
	return answered, response
}

func equal[T comparable](found, wanted T, what string) {
	if found != wanted {
		fail("%s: %v instead of %v", what, found, wanted)
	}
}

func with(token string) context.Context {
	return context.WithValue(context.Background(), onsale.ContextAccessToken, token)
}

func main() {
	configuration := onsale.NewConfiguration()
	configuration.Servers = onsale.ServerConfigurations{{URL: os.Args[1]}}
	api := onsale.NewAPIClient(configuration)
	name := fmt.Sprintf("go-%d", time.Now().UnixNano())

	seller := with(os.Getenv("ONSALE_TEST_ORGANIZER"))
	concerts := api.ConcertsAPI
	concert := *onsale.NewConcertRequest("Artist", "Title", "Venue")
	created, first := ok(concerts.CreateConcert(seller).IdempotencyKey(name).ConcertRequest(concert).Execute())
	change := onsale.ConcertChange{Title: onsale.PtrString("Another title")}
	edit := concerts.ChangeConcert(seller, created.ConcertId).IfMatch(first.Header.Get("ETag")).ConcertChange(change)
	changed, _ := ok(edit.Execute())
	equal(changed.Title, "Another title", "the changed title")
	again, repeated := ok(concerts.CreateConcert(seller).IdempotencyKey(name).ConcertRequest(concert).Execute())
	equal(again.Title, "Title", "the first answer again")
	equal(repeated.Header.Get("Idempotency-Replayed"), "true", "Idempotency-Replayed")

	row := onsale.Row{Row: "1", Grade: "VIP", SeatCount: *onsale.NewNullableInt32(onsale.PtrInt32(10))}
	chart := onsale.Chart{Sections: []onsale.Section{{Section: "A", Rows: []onsale.Row{row}}}}
	terms := onsale.NewPerformanceRequest(chart, map[string]int64{"VIP": 100}, time.Now().AddDate(1, 0, 0))
	performances := api.PerformancesAPI
	performance, _ := ok(performances.CreatePerformance(seller, created.ConcertId).PerformanceRequest(*terms).Execute())
	equal(performance.State, onsale.ON_SALE, "the performance's state")
	queue := onsale.NewQueueRequest("Queue", onsale.QueuePolicy{Manual: onsale.PtrBool(true)})
	made, _ := ok(api.QueuesAPI.CreateQueue(seller).QueueRequest(*queue).Execute())
	equal(made.Name, "Queue", "the queue's name")

	signUp := onsale.NewSignUp(name+"@example.com", "correct horse battery")
	user, _ := ok(api.UsersAPI.SignUp(context.Background()).SignUp(*signUp).Execute())
	buyer := with(user.Session.Token)
	charge := *onsale.NewCharge(1_000)
	ok(api.WalletAPI.Charge(buyer).IdempotencyKey(name).Charge(charge).Execute())
	wish := onsale.Hold{BestAvailable: *onsale.NewNullableBest(onsale.NewBest(2))}
	held, _ := ok(api.ReservationsAPI.Hold(buyer, performance.PerformanceId).Hold(wish).Execute())
	equal(len(held.Seats), 2, "seats held")
	var taken []string
	for _, seat := range held.Seats {
		taken = append(taken, seat.Seat)
	}
	_, refused, err := api.ReservationsAPI.Hold(buyer, performance.PerformanceId).Hold(onsale.Hold{Seats: taken}).Execute()
	equal(err != nil, true, "holding the same seats again fails")
	equal(refused.StatusCode, 409, "holding the same seats again")
	paid, _ := ok(api.ReservationsAPI.Pay(buyer, held.ReservationId).Execute())
	equal(paid.State, "confirmed", "after the payment")
	wallet, _ := ok(api.WalletAPI.ReadWallet(buyer).Execute())
	equal(wallet.Balance, 1_000-held.Points, "the balance")
	fmt.Printf("bought %s for %d points\n", strings.Join(taken, ", "), held.Points)
}
