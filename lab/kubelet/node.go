package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"time"

	"github.com/virtual-kubelet/virtual-kubelet/node"
	"github.com/virtual-kubelet/virtual-kubelet/node/api"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/record"
)

// How many pods are looked at at once.
const workers = 4

// run registers the node and plays it until ctx ends.
func run(ctx context.Context, o options) error {
	config, err := clientcmd.BuildConfigFromFlags("", o.kubeconfig)
	if err != nil {
		return err
	}
	// A test waits for each of its requests.
	config.QPS, config.Burst = 200, 400
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	pods, err := findPods(ctx, client, config.Host, o)
	if err != nil {
		return err
	}
	podController, err := newPodController(ctx, client, pods)
	if err != nil {
		return err
	}
	leases := client.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	nodeController, err := node.NewNodeController(node.NaiveNodeProvider{}, describe(o.port),
		client.CoreV1().Nodes(), node.WithNodeEnableLeaseV1(leases, 0))
	if err != nil {
		return err
	}
	failed := make(chan error, 3)
	go func() { failed <- podController.Run(ctx, workers) }()
	select {
	case <-podController.Ready():
	case err := <-failed:
		return err
	}
	go func() { failed <- nodeController.Run(ctx) }()
	go func() { failed <- serve(o.port, pods, nodeController.Ready()) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return nil
	}
}

func newPodController(ctx context.Context, client kubernetes.Interface, pods *pods) (*node.PodController, error) {
	ours := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTweakListOptions(func(o *metav1.ListOptions) {
		o.FieldSelector = fields.OneTermEqualSelector("spec.nodeName", nodeName).String()
	}))
	all := informers.NewSharedInformerFactory(client, 0)
	events := record.NewBroadcaster()
	events.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: client.CoreV1().Events("")})
	controller, err := node.NewPodController(node.PodControllerConfig{
		PodClient:         client.CoreV1(),
		PodInformer:       ours.Core().V1().Pods(),
		EventRecorder:     events.NewRecorder(scheme.Scheme, corev1.EventSource{Component: nodeName}),
		Provider:          pods,
		ConfigMapInformer: all.Core().V1().ConfigMaps(),
		SecretInformer:    all.Core().V1().Secrets(),
		ServiceInformer:   all.Core().V1().Services(),
	})
	if err != nil {
		return nil, err
	}
	for _, factory := range []informers.SharedInformerFactory{ours, all} {
		factory.Start(ctx.Done())
	}
	all.WaitForCacheSync(ctx.Done())
	return controller, nil
}

func describe(port int) *corev1.Node {
	room := corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse("1k"),
		corev1.ResourceMemory: resource.MustParse("1Ti"),
		corev1.ResourcePods:   resource.MustParse("1k"),
	}
	now := metav1.Now()
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: nodeName,
			Labels: map[string]string{
				"lab.tripline.dev/node":  nodeName,
				"kubernetes.io/hostname": nodeName,
				"kubernetes.io/os":       "linux",
			},
		},
		Status: corev1.NodeStatus{
			Capacity:    room,
			Allocatable: room,
			NodeInfo:    corev1.NodeSystemInfo{OperatingSystem: "linux", KubeletVersion: "lab"},
			Addresses:   []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "127.0.0.1"}},
			DaemonEndpoints: corev1.NodeDaemonEndpoints{
				KubeletEndpoint: corev1.DaemonEndpoint{Port: int32(port)},
			},
			Conditions: []corev1.NodeCondition{{
				Type:               corev1.NodeReady,
				Status:             corev1.ConditionTrue,
				Reason:             "KubeletReady",
				LastHeartbeatTime:  now,
				LastTransitionTime: now,
			}},
		},
	}
}

// serve answers the API server's questions for logs, and says when the node is ready.
func serve(port int, pods *pods, ready <-chan struct{}) error {
	certificate, err := selfSigned()
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		select {
		case <-ready:
		default:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	mux.Handle("/", api.PodHandler(api.PodHandlerConfig{
		GetContainerLogs:      pods.logs,
		GetPods:               pods.GetPods,
		GetPodsFromKubernetes: pods.GetPods,
	}, false))
	server := &http.Server{
		Addr:              fmt.Sprintf("127.0.0.1:%d", port),
		Handler:           mux,
		ReadHeaderTimeout: 10 * time.Second,
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{certificate}},
	}
	return server.ListenAndServeTLS("", "")
}

// selfSigned makes a certificate of a node that nobody checks: both ends are on this machine.
func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotAfter:     time.Now().AddDate(1, 0, 0),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
